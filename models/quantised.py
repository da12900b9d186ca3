"""How a language model's weights are held: whole, in half precision, or in 8 or 4 bits by bitsandbytes.

8 bits: LLM.int8() (Dettmers et al. 2022); 4 bits: NF4 with double quantisation (QLoRA, Dettmers et al. 2023). On a CPU an
evaluated 4-bit model must not be saved or merged: bitsandbytes repacks its weights in place at the first forward.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Literal, get_args

import torch

Precision = Literal["fp32", "bf16", "8bit", "4bit"]


def loading(precision: Precision, device: str = "cpu") -> dict[str, Any]:
    """Arguments of `from_pretrained`; ValueError with one sentence where the precision cannot be had here."""
    if precision in ("fp32", "bf16"):
        return {"dtype": torch.float32 if precision == "fp32" else torch.bfloat16, "device_map": None}
    if precision not in get_args(Precision):
        raise ValueError(f"the precision must be fp32, bf16, 8bit or 4bit, got {precision!r}")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(f"{precision} weights need bitsandbytes: install it with `pip install 'signbind[gpu]'`")
    from transformers import BitsAndBytesConfig

    if precision == "8bit":  # its kernels take float16 and would cast every input
        held, chosen = torch.float16, BitsAndBytesConfig(load_in_8bit=True)
    else:
        held = torch.bfloat16
        chosen = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=held
        )
    return {"quantization_config": chosen, "dtype": held, "device_map": {"": device}}
