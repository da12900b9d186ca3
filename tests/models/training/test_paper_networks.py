"""The paper preset's parts by themselves: eyes, frugal blocks, lessons, clips, the widened vocabulary."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from transformers import Dinov2Model, LlamaForCausalLM, PreTrainedTokenizerFast

from models.checkpoint import load
from models.clock import HEIGHT, WIDTH
from models.config import EncoderConfig
from models.error_rate import ErrorRate
from models.layers.encoder import Encoder
from models.locate import Locator, LocatorConfig
from models.paper import PaperConfig
from models.patches import Patching, colours, cut
from models.prompts import SPECIAL
from models.training.corpora.how2sign import How2Sign
from models.training.corpora.sample import Sample
from models.training.expert_loss import read
from models.training.feature_clips import IGNORED, Targets
from models.training.language_stage import Size
from models.training.paper_checkpointing import checkpointed
from models.training.paper_clips import Batches, Reader, cuts
from models.training.paper_language import widen
from models.training.paper_plan import SHARES, Sizes, clock
from models.training.paper_targets import Lesson, gloss_vocabulary, labels_of, lessons
from models.training.paper_vision import SeeingConfig, Vision, fitted, pretrained
from models.vit import VisionConfig, VisionTransformer
from models.vocabulary import FINGERSPELLING, REST, SIGN
from tests.models.training import corpus_files as files

TINY = SeeingConfig(sizes=PaperConfig.reduced().body_and_hands, tuned=1)
GLOSSES = Targets.of(("NAME", "WATER"))


def frames(count: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    pictures = torch.randint(0, 256, (count, HEIGHT, WIDTH, 3), dtype=torch.uint8)
    boxes, seen = cuts([{"face": (0.5, 0.3, 0.2), "right_hand": (0.4, 0.6, 0.2), "left_hand": None}] * count)
    return pictures, torch.from_numpy(boxes), torch.from_numpy(seen)


def test_the_trained_eyes_see_what_the_live_ones_see() -> None:
    torch.manual_seed(0)
    vision = Vision(TINY).eval()
    pictures, boxes, seen = frames()
    live = VisionTransformer.of(vision.model)
    sizes = TINY.sizes
    want = Patching(sizes.picture_px, sizes.patch_px, sizes.patch_values, torch.float32)
    with torch.no_grad():
        found = vision(pictures, boxes, seen).view(3, 3, sizes.dim)
        for crop in (0, 1):
            expected = live(cut(pictures, boxes[:, crop], colours("cpu"), want))
            torch.testing.assert_close(found[:, crop], expected, atol=1e-4, rtol=1e-4)
    assert (found[:, 2] == 0).all()  # the hand that is not seen


def test_only_the_tuned_blocks_learn() -> None:
    vision = Vision(TINY).train()
    vision(*frames()).sum().backward()
    learning = {name for name, one in vision.named_parameters() if one.requires_grad}
    assert learning and all("layer.1." in name or "layernorm" in name or "layers.1." in name for name in learning)
    assert all(one.grad is not None for name, one in vision.named_parameters() if name in learning)
    still = Vision(SeeingConfig(sizes=TINY.sizes, tuned=0)).train()
    assert not still(*frames()).requires_grad and not any(one.requires_grad for one in still.parameters())


def test_eyes_begin_with_weights_of_other_pictures_sizes(tmp_path: Path) -> None:
    larger = SeeingConfig(sizes=VisionConfig(picture_px=56, patch_px=14, dim=32, layers=2, heads=2, hidden=64))
    Vision(larger).model.save_pretrained(tmp_path)
    vision = pretrained(TINY, str(tmp_path))
    stored = Dinov2Model.from_pretrained(tmp_path)
    mine, theirs = vision.model.state_dict(), stored.state_dict()
    place = "embeddings.position_embeddings"
    assert mine[place].shape[1] == 5 and theirs[place].shape[1] == 17
    assert torch.equal(mine[place][:, 0], theirs[place][:, 0])
    assert all(torch.equal(mine[name], theirs[name]) for name in mine if name != place)
    assert torch.equal(fitted(mine[place], 2), mine[place])


def test_missing_eyes_are_one_sentence(tmp_path: Path) -> None:
    for kind in ("dinov2", "vit"):
        with pytest.raises(ValueError, match="hf download") as caught:
            pretrained(SeeingConfig(kind=kind, sizes=TINY.sizes), str(tmp_path / "nowhere"))
        assert "\n" not in str(caught.value)


def test_eyes_of_another_kind_or_size_are_refused(tmp_path: Path) -> None:
    Vision(TINY).model.save_pretrained(tmp_path)
    wanted = {
        "model_type dinov2 instead of vit": SeeingConfig(kind="vit", sizes=TINY.sizes),
        "num_hidden_layers 2 instead of 3": SeeingConfig(sizes=replace(TINY.sizes, layers=3)),
    }
    for told, config in wanted.items():
        with pytest.raises(ValueError, match=told):
            pretrained(config, str(tmp_path))


def test_checkpointed_blocks_learn_the_same() -> None:
    torch.manual_seed(0)
    plain = Encoder(EncoderConfig(dim=16, heads=2, layers=2, dropout=0.0)).train()
    frugal = checkpointed(copy.deepcopy(plain))
    steps = torch.randn(2, 24, 16)
    for network in (plain, frugal):
        network(steps).square().sum().backward()
    assert list(plain.state_dict()) == list(frugal.state_dict())
    for (name, mine), (_, theirs) in zip(frugal.named_parameters(), plain.named_parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, msg=name)
    twin = copy.deepcopy(frugal)
    with torch.no_grad():
        next(twin.parameters()).add_(1.0)
    assert not torch.equal(twin(steps), frugal(steps))  # a copy computes with its own weights


def lesson(*tokens: str, times: tuple[tuple[float, float], ...] = ()) -> Lesson:
    return Lesson(
        Sample("a/b", Path("x"), "train", glosses=tokens, times_s=times), "how2sign", tokens, ("M", "AY"), "My."
    )


def test_what_a_lesson_teaches() -> None:
    one = lesson("NAME", "#MO", "UNKNOWN")
    assert one.key == "how2sign-a_b"
    assert one.target("sign", GLOSSES) == [1]
    assert one.symbols("sign") == ["NAME", "UNKNOWN"]
    assert one.target("fusion", GLOSSES) == GLOSSES.joint.encode(["NAME", "#M", "#O"])
    assert one.target("fingerspelling", GLOSSES) == GLOSSES.letters.encode(["M", "O"])
    assert one.target("lips", GLOSSES) == GLOSSES.phonemes.encode(["M", "AY"])


def test_a_sign_shorter_than_a_step_has_one() -> None:
    routes = lesson("NAME", times=((0.4, 0.401),)).routes(np.array([True] * 24))
    assert np.flatnonzero(routes == SIGN).tolist() == [10]


def test_routes_are_said_where_they_are_known() -> None:
    hands = np.array([True] * 24 + [False])
    assert set(lesson("#MO").routes(hands)[:-1]) == {FINGERSPELLING}
    assert set(lesson("NAME").routes(hands)[:-1]) == {SIGN} and lesson("NAME").routes(hands)[-1] == REST
    assert set(lesson("NAME", "#MO").routes(hands)[:-1]) == {IGNORED}
    timed = lesson("NAME", "#MO", times=((0.0, 0.2), (0.4, 0.8))).routes(hands)
    assert timed.tolist() == [SIGN] * 5 + [REST] * 5 + [FINGERSPELLING] * 10 + [REST] * 5


def test_labels_replace_those_by_rules(tmp_path: Path) -> None:
    corpus = How2Sign(files.how2sign(tmp_path))
    path = tmp_path / "labels.jsonl"
    assert labels_of(path) == {}
    path.write_text('{"name": "-abtrain_0-5-rgb_front.mp4", "tokens": ["ME", "NAME", "#MARIA"]}\n')
    samples = corpus.read().samples
    (by_label,), (by_rule,) = lessons(corpus, samples, labels_of(path)), lessons(corpus, samples, {})
    assert by_label.tokens == ("ME", "NAME", "#MARIA") and "#MARIA" in by_rule.tokens
    assert by_rule.phonemes[:2] == ("M", "AY")
    path.write_text("{}\n")
    with pytest.raises(ValueError, match="mend or remove the line"):
        labels_of(path)


def test_a_resumed_run_keeps_its_glosses(tmp_path: Path) -> None:
    first = gloss_vocabulary([lesson("NAME", "WATER"), lesson("WATER", "#X")], tmp_path / "glosses.txt")
    assert first.tokens == ("WATER", "NAME")
    assert gloss_vocabulary([lesson("OTHER")], tmp_path / "glosses.txt") == first
    with pytest.raises(ValueError, match="teach no sign"):
        gloss_vocabulary([lesson("#X")], tmp_path / "none.txt")


def test_unknown_tokens_count_as_missed() -> None:
    said = torch.full((4, 3), -9.0)
    said[[0, 1, 2, 3], [1, 0, 2, 2]] = 0.0
    rate, steps = ErrorRate(), torch.tensor([4])
    read(rate, said[None], steps, [[1, 2]])
    assert rate.value == 0.0
    read(rate, said[None], steps, [[1]])  # right, and one too many
    rate.miss(3)
    assert (rate.edits, rate.length) == (4, 6) and rate.value == pytest.approx(4 / 6)


@pytest.fixture(scope="module")
def locator() -> Locator:
    torch.manual_seed(0)
    return Locator(LocatorConfig(stem=8, channels=(8, 8, 8, 8), threshold=0.01)).eval()


def test_clips_that_cannot_be_learned_from_are_named_once(tmp_path: Path, locator: Locator) -> None:
    corpus = How2Sign(files.how2sign(tmp_path, [("train", "My name."), ("train", "Water."), ("train", "Name.")]))
    taught = lessons(corpus, corpus.read().samples, {})
    taught[1].sample.clip.write_bytes(b"broken")
    said: list[str] = []
    batches = Batches(Reader(locator, tmp_path / "boxes"), lambda one: [1] * len(one.tokens), 30, 2, said.append)
    stream = batches.endless(taught, seed=0)
    lengths = [next(stream).lengths.tolist() for _ in range(6)]
    assert lengths == [[24]] * 6  # two of 24 steps are more than 30
    assert len(said) == 1 and "cannot be decoded" in said[0]
    assert len(list((tmp_path / "boxes").glob("*.npz"))) == 2
    too_much = Batches(batches.reader, lambda one: list(range(1, 40)), 30, 2, said.append)
    with pytest.raises(ValueError, match="none of 3 clips"):
        next(too_much.endless(taught, seed=0))
    assert any("teaches 39 steps' worth, but has 24" in line for line in said)


def test_boxes_are_found_once(tmp_path: Path, locator: Locator) -> None:
    corpus = How2Sign(files.how2sign(tmp_path))
    (one,) = lessons(corpus, corpus.read().samples, {})
    first = Reader(locator, tmp_path / "boxes").read(one)
    other = Locator(locator.config)  # finds other boxes; those that are kept are taken
    again = Reader(other, tmp_path / "boxes").read(one)
    assert torch.equal(first.boxes, again.boxes) and torch.equal(first.seen, again.seen)
    assert first.frames.shape == (24, HEIGHT, WIDTH, 3)


def plain_tokenizer() -> PreTrainedTokenizerFast:
    """As LLaMA's: it knows an end, and nothing of our prompts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["my name is one", "gloss english context"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def test_new_pieces_differ_from_all_others() -> None:
    tokenizer = plain_tokenizer()
    tokenizer.pad_token = "</s>"  # the size needs one; widen gives it its own
    model = LlamaForCausalLM(Size(width=32, inner=64, layers=1, heads=2).config(tokenizer))
    tokenizer.pad_token = None
    known = len(tokenizer)
    kept = model.get_input_embeddings().weight.detach().clone()
    widen(model, tokenizer)
    fresh = [piece for piece in SPECIAL if piece != "</s>"]
    assert len(tokenizer) == known + len(fresh) and set(SPECIAL) <= set(tokenizer.get_vocab())
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        rows = layer.weight.detach()
        assert len(rows) == len(tokenizer) and len(rows.unique(dim=0)) == len(rows)
    assert torch.equal(model.get_input_embeddings().weight[:known], kept)
    ids = tokenizer("gloss <fs2> name", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_tokens_to_ids("<fs2>") in ids and tokenizer.pad_token == "<pad>"


def test_the_paper_schedule_adds_up() -> None:
    assert sum(SHARES.values()) == pytest.approx(1.0)
    assert list(SHARES)[:3] == ["sign", "fingerspelling", "lips"] and list(SHARES)[-2:] == ["fusion", "language"]
    assert (clock(12.34), clock(65), clock(60 * 30)) == ("12.3 min", "1:05 h", "30:00 h")
    sizes = Sizes()
    assert sizes.seeing("sign").features == 3 * 768 and sizes.seeing("lips").features == 768
    assert sizes.fusion(GLOSSES.glosses).layers == 6


def test_expert_weights_load_into_the_paper_engine(tmp_path: Path) -> None:
    from models.checkpoint import save
    from models.experts import Expert
    from models.paper import PaperTemporal

    sizes = Sizes.tiny()
    expert = checkpointed(Expert(sizes.expert("sign", GLOSSES.glosses)))
    save(expert, expert.config, tmp_path, "sign")
    loaded = load(Expert, tmp_path, "sign")
    engine = PaperTemporal(sizes.networks, 1, torch.device("cpu"))
    assert [tuple(one.shape) for one in loaded.encoder.parameters()] == [
        tuple(one.shape) for one in engine.sign.encoder.parameters()
    ]
    assert isinstance(loaded, nn.Module) and loaded.config.in_features == engine.sign.config.in_features
