"""The language model of the paper's schedule: LLaMA-2-7B in 4 bits with LoRA (QLoRA, Dettmers et al. 2023), trained on
the corpora's (pseudo-gloss, English) pairs.

The prompt's marks and slots become pieces of the model's vocabulary, in `out`/llm, which is the base that captions are
written with; what is learned is the adapter in `out`/adapters/paper.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import AddedToken
from torch import Tensor, nn
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from models.prompts import SPECIAL
from models.quantised import Precision, loading, pretrained
from models.training.language_pool import Batch
from models.training.language_stage import Size, batches, count_lexemes, loss_of, train_tokenizer
from models.training.language_stage import save as save_llama
from models.training.loop import Schedule, learn
from models.training.paper_plan import Plan
from models.training.paper_ranks import SharedRun, together
from models.training.paper_vision import frugal
from models.training.text_pairs import Pair, pair_of, proper_words

ADAPTER = "paper"
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]
LEARNING_RATE = 2e-4
SAVED_EVERY_S = 600.0


class Adapters(nn.Module):
    """Only what LoRA trains, of a model that is much larger: what the loop averages, saves and resumes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        named = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
        self.names = [name for name, _ in named]
        self.weights = nn.ParameterList([one for _, one in named])

    def forward(self, batch: Any) -> Tensor:
        raise AssertionError(f"these are weights of another module, not called with {type(batch)}")


def train(plan: Plan) -> dict[str, float]:
    """The base and its adapter into `plan.out`; mean loss (nats a piece) on unseen pairs, without and with the adapter."""
    proper = proper_words(lesson.english for lesson in plan.lessons.get("train", ()))
    pairs, unseen = ([pair for lesson in plan.lessons.get(split, ()) if lesson.english
                      and (pair := pair_of(lesson.tokens, lesson.english, proper)) is not None]
                     for split in ("train", "val"))  # fmt: skip
    if not pairs:
        plan.ranks.say("language: no English sentence among these corpora; captions stay drafts")
        return {"pairs": 0.0}
    base = plan.out / "llm"
    if plan.ranks.first and not _base(plan).is_file():
        prepare(plan, base, pairs, proper)
    plan.ranks.wait()
    tokenizer = cast(PreTrainedTokenizerFast, AutoTokenizer.from_pretrained(base))
    model = adapted(base, plan)
    before = _loss(model, tokenizer, unseen)
    adapters = _learned(plan, model, tokenizer, pairs)
    with torch.no_grad():
        for own, mean in zip((p for p in model.parameters() if p.requires_grad), adapters.weights, strict=True):
            own.copy_(mean)
    if plan.ranks.first:
        model.save_pretrained(plan.out / "adapters" / ADAPTER)
    plan.ranks.wait()
    after = _loss(model, tokenizer, unseen)
    losses = {"loss_without": before, "loss_with": after} if unseen else {}
    return {"pairs": float(len(pairs)), "unseen_pairs": float(len(unseen)), **losses}


def prepare(plan: Plan, base: Path, pairs: Sequence[Pair], proper: frozenset[str]) -> None:
    """Writes the base: the paper's model with the prompt's pieces added, or a tiny random one for a dry run."""
    lexemes = count_lexemes(pairs, proper)
    if plan.origins is None:
        tokenizer = train_tokenizer(pairs, 300)
        tiny = LlamaForCausalLM(Size(width=32, inner=64, layers=2, heads=2).config(tokenizer))
        save_llama(tiny, tokenizer, lexemes, base)
        return
    tokenizer, model = opened(plan.origins.language, dtype=torch.bfloat16)
    widen(model, tokenizer)
    model.save_pretrained(base)
    tokenizer.save_pretrained(base)
    lexemes.save(base / "words.json")


def check(plan: Plan) -> None:
    """ValueError with one sentence where the base cannot be held in its precision, or cannot be had: its files are fetched
    and looked at, and no weight is read."""
    if plan.origins is None or not any(one.english for one in plan.lessons.get("train", ())):
        return
    loading(_precision(plan), str(plan.ranks.device))
    if not _base(plan).is_file():
        opened(plan.origins.language, device_map="meta")


def opened(name: str, **how: Any) -> tuple[PreTrainedTokenizerFast, Any]:
    """Tokenizer and model by name or folder, the model loaded as `how` says; ValueError where they cannot be had."""
    try:
        tokenizer = cast(PreTrainedTokenizerFast, AutoTokenizer.from_pretrained(name))
        return tokenizer, pretrained(name, **how)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"expected a language model at {name!r}, but transformers cannot load it: ask for access to it and fetch it "
            f"with `hf download {name}`, or name a folder that holds it"
        ) from error


def _base(plan: Plan) -> Path:
    """The last file that `prepare` writes."""
    return plan.out / "llm" / "words.json"


def _precision(plan: Plan) -> Precision:
    return "4bit" if plan.ranks.device.type == "cuda" else "fp32"


def widen(model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    """Adds the prompt's pieces. A new piece begins as the mean of the pieces of its name, on both sides of the model, so
    that no two are alike: LoRA changes no embedding."""
    fresh = [piece for piece in SPECIAL if piece not in tokenizer.get_vocab()]
    names = [f"mark {piece.strip('<>')}".replace("mark fs", "name ") for piece in fresh]  # never one piece alone
    spelled = [tokenizer(name, add_special_tokens=False)["input_ids"] for name in names]
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [AddedToken(piece, lstrip=True, special=True) for piece in fresh]}
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = SPECIAL[0]
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            for piece, ids in zip(fresh, spelled, strict=True):
                layer.weight[tokenizer.convert_tokens_to_ids(piece)] = (
                    layer.weight[ids].float().mean(0).to(layer.weight)
                )
    model.config.pad_token_id = tokenizer.pad_token_id


def adapted(base: Path, plan: Plan) -> Any:
    """The base with a fresh adapter: in 4 bits and with gradient checkpointing on a GPU, as it is on a CPU."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    device = plan.ranks.device
    graphics = device.type == "cuda"
    model = pretrained(base, **loading(_precision(plan), str(device)))
    if graphics:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        model.enable_input_require_grads()
        frugal(model)
    rank = plan.sizes.lora_rank
    torch.manual_seed(plan.seed)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.05, target_modules=TARGETS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a property that was renamed
        return get_peft_model(model, config)


def _learned(plan: Plan, model: Any, tokenizer: PreTrainedTokenizerFast, pairs: Sequence[Pair]) -> Adapters:
    run = SharedRun("paper_language", Adapters(model), plan.seed, plan.runs, plan.ranks.device, ranks=plan.ranks)
    minutes, own = plan.minutes_of("language"), plan.ranks.share(list(pairs))
    seed = plan.seed + run.steps * plan.ranks.world + plan.ranks.rank
    model.train()

    def loss(_adapters: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        value, figures = loss_of(model, batch)
        return value, dict(figures)

    schedule = Schedule(
        minutes, LEARNING_RATE, weight_decay=0.0, warmup_minutes=minutes / 15, average_decay=0.99,
        save_every_s=SAVED_EVERY_S, clock=plan.ranks.clock,
    )  # fmt: skip
    best = learn(
        run, schedule, batches(_endless(own, seed), tokenizer, plan.sizes.rows, seed), together(run, loss),
        log=lambda line: plan.log("language", line, run.spent_s / 60),
    )  # fmt: skip
    assert isinstance(best, Adapters)
    return best


def _endless(pairs: Sequence[Pair], seed: int) -> Iterator[Pair]:
    rng = random.Random(seed)
    while True:
        yield from rng.sample(pairs, len(pairs))


@torch.no_grad()
def _loss(model: Any, tokenizer: PreTrainedTokenizerFast, pairs: Sequence[Pair], most: int = 256) -> float:
    """Mean over unseen pairs; 0 where there is none."""
    model.eval()
    some = pairs[:most]
    stream = batches(iter(some), tokenizer, 1, 0, pool=max(1, len(some)))
    losses = [float(loss_of(model, next(stream))[0]) for _ in some]
    return sum(losses) / len(losses) if losses else 0.0
