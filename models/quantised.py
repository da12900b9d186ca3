"""How a language model's weights are held: whole, in half precision, or in 8 or 4 bits by bitsandbytes; on disk as transformers
has them, or packed in eight bits (`packed.py`).

8 bits: LLM.int8() (Dettmers et al. 2022); 4 bits: NF4 with double quantisation (QLoRA, Dettmers et al. 2023). On a CPU an
evaluated 4-bit model must not be saved or merged: bitsandbytes repacks its weights in place at the first forward.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM, PreTrainedModel

from models import packed

PACKED = f"model{packed.ENDING}"

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


def pretrained(source: Path | str, **how: Any) -> PreTrainedModel:
    """transformers' `from_pretrained`, also of a folder that holds a Llama's weights packed; in bfloat16 before `how`."""
    if not (Path(source) / PACKED).is_file():
        return cast(PreTrainedModel, AutoModelForCausalLM.from_pretrained(source, **how))
    state = {name: value.bfloat16() for name, value in packed.restored(packed.read(Path(source) / PACKED)).items()}
    config = AutoConfig.from_pretrained(source)
    model = cast(PreTrainedModel, LlamaForCausalLM.from_pretrained(None, config=config, state_dict=state, **how))
    model.name_or_path = model.config._name_or_path = str(source)  # adapters that are saved say what they belong to
    return model


def pack(folder: Path, model: LlamaForCausalLM) -> None:
    """Writes a Llama's weights packed, where transformers would write model.safetensors; what is tied to the embeddings is left
    out."""
    state = {name: value for name, value in model.state_dict().items() if name != "lm_head.weight"}
    packed.write(folder / PACKED, packed.rounded(state))
