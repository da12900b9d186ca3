"""The refiner with a real, tiny Llama that has learned eight sentences by heart."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM

from models.hypothesis import Hypothesis, Token
from models.lexemes import Lexemes, agreement, stem
from models.names import show
from models.prompts import Request, as_spelled, gloss_line, lower_start, readable, sentence_case
from models.quantised import Precision
from models.refine import Refiner, RefinerError
from models.sentence import sentence
from models.speech import Speaker
from models.training.language_stage import Size, batches, loss_of, save, train_tokenizer
from models.training.text_pairs import Pair

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's, of transformers

PAIRS = [
    Pair("me name <fs1>", "my name is <fs1>."),
    Pair("he name <fs1> <fs2>", "his name is <fs1> <fs2>, I think."),
    Pair("you go where", "where are you going?"),
    Pair("me love <fs1>", "I love <fs1>'s dog."),
    Pair("friday me work", "I work on Friday."),
    Pair("who come", "Zorro is coming."),
    Pair("thank-you", "thank you."),
    Pair("you help", "can you help Zorro?"),
]
WORDS = Lexemes({"ME": frozenset({"I", "my"}), "GO": frozenset({"going"}), "FRIDAY": frozenset({"Friday"})})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    where = tmp_path_factory.mktemp("checkpoint") / "llm"
    tokenizer = train_tokenizer(PAIRS, 400)
    module = LlamaForCausalLM(Size(width=64, inner=96, layers=2, heads=2, positions=64).config(tokenizer))
    optimizer = torch.optim.AdamW(module.parameters(), lr=6e-3)
    for batch in itertools.islice(batches(itertools.cycle(PAIRS), tokenizer, len(PAIRS), 0, pool=1), 120):
        loss, _ = loss_of(module, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.05, loss.item()
    save(module, tokenizer, WORDS, where)
    return where


@pytest.fixture
def refiner(folder: Path) -> Refiner:
    return Refiner.load(folder)


def request(*texts: str, vocabulary: tuple[str, ...] = ()) -> Request:
    tokens = tuple(
        Token(text.lstrip("#"), "fingerspelling" if "#" in text else "sign", 500 * place, 500 * place + 400, 0.9)
        for place, text in enumerate(texts)
    )
    return Request(tokens, vocabulary)


def said(refiner: Refiner, *requests: Request) -> list[str | None]:
    return [refined.text if refined else None for refined in refiner.refine(requests)]


def test_spelled_names_are_put_back_where_the_sentence_has_their_slots(refiner: Refiner) -> None:
    asked = request("HE", "NAME", "#JEAN", "#DUPONT", vocabulary=("DuPont",))
    assert said(refiner, request("ME", "NAME", "#MARIA"), asked, request("ME", "LOVE", "#ANNA")) == [
        "My name is Maria.",
        "His name is Jean DuPont, I think.",
        "I love Anna's dog.",
    ]


def test_words_know_their_token_source_time_and_log_probability(refiner: Refiner) -> None:
    [refined] = refiner.refine([request("ME", "NAME", "#MARIA")])
    assert refined is not None
    assert [(word.text, word.source, word.token) for word in refined.words] == [
        ("My", "sign", 0), ("name", "sign", 1), ("is", "language", None), ("Maria.", "fingerspelling", 2),
    ]  # fmt: skip
    assert [(word.start_ms, word.end_ms) for word in refined.words] == [(0, 400), (500, 900), (900, 900), (1000, 1400)]
    assert all(-0.5 < word.log_prob <= 0 for word in refined.words)
    assert refined.agreement == 1.0


def test_a_proper_noun_that_nobody_signed_or_spelled_is_not_said(refiner: Refiner) -> None:
    for text in said(refiner, request("WHO", "COME"), request("YOU", "HELP")):
        assert text is not None
        assert "zorro" not in text.lower()
    assert said(refiner, request("FRIDAY", "ME", "WORK")) == ["I work on Friday."]


def test_rows_of_a_batch_do_not_touch_each_other(folder: Path) -> None:
    asked = [request("ME", "NAME", "#MARIA"), request("THANK-YOU"), request("YOU", "GO", "WHERE")]
    alone = [said(Refiner.load(folder), one)[0] for one in asked]
    assert said(Refiner.load(folder), *asked) == alone


def test_a_growing_draft_reuses_its_prompt_and_says_the_same(folder: Path) -> None:
    grown, fresh = Refiner.load(folder), Refiner.load(folder)
    whole = request("HE", "NAME", "#JEAN", "#DUPONT")
    for count in range(1, 4):
        grown.refine([Request(whole.tokens[:count]), request("THANK-YOU")])
    [first], [second] = grown.refine([whole]), fresh.refine([whole])
    assert first is not None
    assert second is not None
    assert first.text == second.text
    assert [w.log_prob for w in first.words] == pytest.approx([w.log_prob for w in second.words], abs=1e-4)


def test_no_tokens_no_words(refiner: Refiner) -> None:
    assert said(refiner, Request(())) == [""]


def test_what_the_deadline_cuts_off_is_none(refiner: Refiner) -> None:
    asked = [Request(()), request("ME", "NAME", "#MARIA")]
    assert [r is None for r in refiner.refine(asked, deadline_s=0.0)] == [False, True]
    started = time.monotonic()
    assert refiner.refine(asked, deadline_s=1e-4)[1] is None
    assert time.monotonic() - started < 1.0
    assert refiner.refine(asked, deadline_s=30.0)[1] is not None


def test_a_missing_model_or_adapter_is_said_in_one_sentence(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(RefinerError, match=r"no config\.json; train it with"):
        Refiner.load(tmp_path)
    with pytest.raises(RefinerError, match=r"no adapter_config\.json; train one with"):
        Refiner.load(folder, adapter=tmp_path)
    with pytest.raises(RefinerError, match="must be fp32, bf16, 8bit or 4bit, got '2bit'"):
        Refiner.load(folder, precision=cast(Precision, "2bit"))


def test_an_adapter_changes_what_is_said(tmp_path: Path, folder: Path) -> None:
    base = Refiner.load(folder)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(base.model, config).save_pretrained(tmp_path)
    asked = request("ME", "NAME", "#MARIA")
    [plain], [adapted] = Refiner.load(folder).refine([asked]), Refiner.load(folder, adapter=tmp_path).refine([asked])
    assert plain is not None
    assert adapted is not None
    assert [w.log_prob for w in plain.words] != [w.log_prob for w in adapted.words]


def test_an_adapter_of_another_model_is_refused(tmp_path: Path, folder: Path) -> None:
    tokenizer = Refiner.load(folder).tokenizer
    other = LlamaForCausalLM(Size(width=32, inner=32, layers=1, heads=2, positions=64).config(tokenizer))
    get_peft_model(other, LoraConfig(r=4, target_modules=["q_proj"])).save_pretrained(tmp_path)
    with pytest.raises(RefinerError, match="does not fit the language model"):
        Refiner.load(folder, adapter=tmp_path)


def test_tokens_read_without_a_language_model() -> None:
    assert readable(request("ME", "NAME", "#MARIA").tokens) == "I name Maria"
    assert readable(request("THANK-YOU").tokens) == "Thank you"
    assert readable(request("SEE", "#OSLO").tokens, ("OSLO",)) == "See OSLO"
    assert readable(()) == ""


def test_the_ninth_spelled_word_shares_the_last_slot() -> None:
    line = gloss_line(request(*("#A" for _ in range(10))).tokens)
    assert line.split() == [f"<fs{number}>" for number in range(1, 9)]


def test_sentence_starts_lose_and_get_their_capital() -> None:
    assert lower_start("My name. Is I'm? Maria, I.", frozenset({"Maria"})) == "my name. is I'm? Maria, I."
    assert sentence_case("my name is <fs1> . where are you ?") == "My name is <fs1>. Where are you?"
    assert lower_start("NASA flew. ASL", frozenset()) == "NASA flew. ASL"


def test_words_are_aligned_to_glosses_by_table_and_by_stem() -> None:
    table = Lexemes({"GO": frozenset({"went"})})
    assert table.align(["I", "went", "looking", "for", "stories"], {0: "GO", 1: "LOOK-FOR", 2: "STORY"}) == [
        None, 0, 1, None, 2,
    ]  # fmt: skip
    assert stem("running") == stem("run")
    assert agreement(["I", "went", "home"], [None, 0, None], 1) == pytest.approx(2 / 3)


def test_a_doubtful_sign_has_a_mark_where_the_model_knows_it(tmp_path: Path) -> None:
    tokens = request("ME", "NAME", "#MARIA").tokens
    doubtful = (replace(tokens[0], posterior=0.7), *tokens[1:])
    assert gloss_line(doubtful) == "me name <fs1>"
    assert gloss_line(doubtful, 0.8) == "me? name <fs1>"
    Lexemes({}, doubtful_below=0.8).save(tmp_path / "words.json")
    assert Lexemes.load(tmp_path / "words.json").doubtful_below == 0.8
    (tmp_path / "words.json").write_text('{"words": {}, "proper": []}')
    assert Lexemes.load(tmp_path / "words.json").doubtful_below == 0


def test_a_single_letter_stands_as_unclear_in_a_sentence(folder: Path) -> None:
    speaker = Speaker(Refiner.load(folder, show=show), None)
    tokens = (*request("ME", "NAME").tokens, Token("N", "fingerspelling", 1000, 1100, 0.9, (0.9,)))
    heard = Hypothesis(tokens, 0, 0, 1100, 0.5, (1.0, 0.0, 0.0), 0.9, 0.5, 1.0)
    [caption] = speaker.refine([heard])
    assert caption.text == "My name is [spelling unclear]."
    assert [word.text for word in caption.words] == ["My", "name", "is", "[spelling unclear]."]
    assert speaker.draft(heard).text.endswith("N")
    assert speaker.draft(heard, running=False).text.endswith("[spelling unclear]")


def test_a_sentence_that_says_what_nobody_signed_gives_way_to_the_tokens() -> None:
    asked = request("MOTHER", "#ANNA")
    pieces = [(piece, -0.1) for piece in ("my", " mother", " <fs1>", " isn't", " late", ".")]
    written = sentence(pieces, asked, WORDS, as_spelled)
    assert written.unsigned == ("late",)
    assert sentence(pieces[:-2] + pieces[-1:], asked, WORDS, as_spelled).unsigned == ()
    assert sentence(pieces, asked, Lexemes(), as_spelled).unsigned == (), "nothing is known of a model without a table"
    hypothesis = Hypothesis(asked.tokens, 2, 0, 900, 0.7, (0.5, 0.5, 0.0), 0.8, 1.0, 1.0)
    spoken = Speaker(None, None).explained(hypothesis, written, ())
    assert spoken.caption.text == "Mother Anna"
    assert [word.source for word in spoken.caption.words] == ["sign", "fingerspelling"]
    assert spoken.features["unsigned"] == 1.0
    assert Speaker(None, None).explained(hypothesis, None, ()).features["unsigned"] == 0.0, (
        "a draft still running is none"
    )
    signed = replace(written, unsigned=())
    assert Speaker(None, None).explained(hypothesis, signed, ()).caption.text == "My mother Anna isn't late."


def test_a_single_sign_is_no_sentence() -> None:
    pieces = [(piece, -0.1) for piece in ("the", " mother", " is", ".")]
    assert sentence(pieces, request("MOTHER"), WORDS, as_spelled).unsigned == ("the", "is")
    assert sentence(pieces, request("MOTHER", "LATE"), WORDS, as_spelled).unsigned == ()
    assert sentence([("mother.", -0.1)], request("MOTHER"), WORDS, as_spelled).unsigned == ()


def test_a_comma_before_a_name_that_is_dropped_goes_with_it() -> None:
    pieces = [(piece, -0.1) for piece in ("help", ",", " Zorro", ".")]
    assert sentence(pieces, request("HELP"), WORDS, as_spelled).text == "Help."
