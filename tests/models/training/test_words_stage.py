"""A word-level writer learned from made-up forecasts, end to end, and what its tables begin with."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cosine_similarity

from models import packed
from models.evaluation.gloss2text import evaluate
from models.refine import RefinerError
from models.text_writer import writer_of
from models.training import words_stage
from models.training.word_starts import Parts, parts_of, start_vectors
from models.training.words_stage import Learner, Recipe, batches, score, split, standing, train, varied, words_of
from models.word_writer import (
    END_ID,
    PAD_ID,
    SPECIAL,
    START_ID,
    UNKNOWN_ID,
    VOICE,
    Reading,
    Shape,
    Words,
    WordWriter,
    ids_of,
    network,
    padded,
)  # fmt: skip

WEATHER = {"REGEN": "regen", "SCHNEE": "schnee", "SONNE": "sonne", "NEBEL": "nebel"}
DAYS = {"MORGEN": "morgen", "HEUTE": "heute", "SONNTAG": "am sonntag"}
LINES = [(f"{day} IX {sky}", f"{said} gibt es {word} .") for day, said in DAYS.items() for sky, word in WEATHER.items()]
RECIPE = Recipe(Shape(width=32, inner=64, layers=1, heads=2), learning_rate=1e-2, dropout=0.1, width_of_batch=300)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`weights/german`, a writer that has learned LINES, beside its data and an empty checkpoint."""
    home = tmp_path_factory.mktemp("home")
    text = home / "data" / "text"
    text.mkdir(parents=True)
    (home / "weights" / "compact").mkdir(parents=True)
    lines = "\n".join(f"{glosses}\t{german}" for glosses, german in LINES * 10) + "\n"
    for name in ("train", "dev"):
        (text / f"phoenix14t.{name}.tsv").write_text(lines, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(words_stage, "KEPT", 6)
        train(home / "data", home / "weights" / "phoenix", minutes=0.1, recipe=RECIPE)
        yield home


def test_a_writer_is_trained_and_found_by_its_name(home: Path) -> None:
    file = home / "data" / "text" / "phoenix14t.dev.tsv"
    beside = evaluate(file, home / "weights" / "compact", adapter="phoenix", limit=12)
    named = evaluate(file, home / "weights" / "phoenix", adapter="phoenix", limit=12)
    assert beside == named
    assert float(beside["bleu4"]) > 60
    assert "tok:none" in str(beside["signature"])


def test_lines_of_any_length_are_written_together_as_alone(home: Path) -> None:
    writer = WordWriter.load(home / "weights" / "phoenix")
    rows = [glosses.split() for glosses, _ in LINES[:4]] + [["REGEN"], "HEUTE IX REGEN MORGEN IX SCHNEE".split()]
    assert writer.write(rows) == [writer.write([row])[0] for row in rows]
    assert writer.write([]) == []


def test_a_gloss_never_met_is_read_and_marks_are_never_written(home: Path) -> None:
    [text] = WordWriter.load(home / "weights" / "phoenix").write([["MORGEN", "IX", "VULKAN"]])
    assert text.startswith("morgen")
    assert "<" not in text


def test_eight_bits_say_what_was_learned(home: Path, tmp_path: Path) -> None:
    writer = WordWriter.load(home / "weights" / "phoenix")
    writer.save(tmp_path)
    again = WordWriter.load(tmp_path)
    torch.testing.assert_close(again.voices[0].state_dict(), writer.voices[0].state_dict(), rtol=0, atol=1e-6)


def test_what_is_missing_is_said(home: Path, tmp_path: Path) -> None:
    writer = WordWriter.load(home / "weights" / "phoenix")
    writer.save(tmp_path / "phoenix")
    (tmp_path / "phoenix" / VOICE.format(0)).unlink()
    with pytest.raises(RefinerError, match="is missing: make it with `signbind train words`"):
        writer_of(tmp_path / "compact", "phoenix")
    with pytest.raises(RefinerError, match="signbind train text"):
        writer_of(tmp_path / "compact", "ncslgr")


def test_the_live_weights_are_not_written_over(home: Path, tmp_path: Path) -> None:
    (tmp_path / "llm").mkdir()
    with pytest.raises(ValueError, match="folder of its own with --out"):
        train(home / "data", tmp_path, minutes=0.1)


def test_voices_of_other_words_do_not_join(home: Path, tmp_path: Path) -> None:
    words = Words("phoenix", ("REGEN",), ("regen",))
    WordWriter([network(words, RECIPE.shape)], words, RECIPE.shape).save(tmp_path)
    with pytest.raises(ValueError, match="voices of other words.*with --out"):
        train(home / "data", tmp_path, minutes=0.1, seed=1, recipe=RECIPE)


def test_another_seed_joins_the_voices_of_its_folder(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "weights" / "phoenix", tmp_path / "both")
    figures = train(home / "data", tmp_path / "both", minutes=0.1, seed=1, recipe=RECIPE)
    writer = WordWriter.load(tmp_path / "both")
    first, second = writer.voices
    assert not torch.equal(first.final_logits_bias, second.final_logits_bias)
    assert figures["bleu4"] == score(writer, [(glosses.split(), german) for glosses, german in LINES * 10])
    assert figures["bleu4"] > 60


def test_voices_say_what_the_mean_of_their_probabilities_says(home: Path) -> None:
    """One beam is the likeliest word at each step, which whole passes without a cache find too."""
    writers = [WordWriter.load(home / "weights" / "phoenix") for _ in range(3)]
    words, voices = writers[0].words, [writer.voices[0] for writer in writers]
    torch.manual_seed(0)
    for voice in voices:  # each prefers words of its own
        voice.final_logits_bias += 2 * torch.randn_like(voice.final_logits_bias)
    asked = padded([ids_of(["MORGEN", "IX", "REGEN"], words.gloss_table)])
    said, allowed = [START_ID], torch.tensor([END_ID, *range(len(SPECIAL), len(words.word_table))])
    with torch.inference_mode():
        while said[-1] != END_ID and len(said) < 12:
            answers = [voice(input_ids=asked, decoder_input_ids=torch.tensor([said])).logits[0, -1] for voice in voices]
            chances = (answers[0].softmax(0) + answers[1].softmax(0) + answers[2].softmax(0)) / 3
            said.append(int(allowed[chances[allowed].argmax()]))
    wanted = [words.word_table[one] for one in said[1:] if one != END_ID]
    together, *alone = (
        WordWriter(some, words, RECIPE.shape).write([["MORGEN", "IX", "REGEN"]], beams=1)[0]
        for some in (voices, *([voice] for voice in voices))
    )
    assert together.split()[: len(wanted)] == wanted
    assert len({together, *alone}) > 2


def test_a_voice_twice_says_what_it_says_alone(home: Path) -> None:
    writer = WordWriter.load(home / "weights" / "phoenix")
    twice = WordWriter([*writer.voices, *writer.voices], writer.words, RECIPE.shape)
    rows = [glosses.split() for glosses, _ in LINES]
    assert twice.write(rows) == writer.write(rows)


def test_a_reading_goes_on_from_the_sentences_it_is_given(home: Path) -> None:
    """After a reorder the chances are those of a whole pass over the sentences in their new order."""
    voice = WordWriter.load(home / "weights" / "phoenix").voices[0]
    asked = padded([[5, 6, END_ID], [7, END_ID]])
    sentences, order = (
        torch.tensor([[START_ID, 4], [START_ID, 5], [START_ID, 6], [START_ID, 7]]),
        torch.tensor([1, 1, 3, 2]),
    )
    with torch.inference_mode():
        reading = Reading(voice, asked, 2)
        reading.chances(sentences[:, :1])
        reading.chances(sentences[:, 1:])
        reading.reorder(order)
        newest = torch.tensor([[8], [9], [8], [9]])
        found = reading.chances(newest)
        wide = asked.repeat_interleave(2, 0)
        whole = voice(
            input_ids=wide, attention_mask=(wide != PAD_ID).long(),
            decoder_input_ids=torch.cat([sentences[order], newest], 1),
        ).logits[:, -1].softmax(-1)  # fmt: skip
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-6)


def test_lines_kept_to_choose_with_are_not_learned_from() -> None:
    pairs = [([str(number)], str(number)) for number in range(100)]
    learned, kept = split(pairs)
    assert len(kept) == 5
    assert sorted(learned + kept) == sorted(pairs)


def test_words_met_once_are_unknown() -> None:
    words = words_of([(["REGEN", "IX"], "regen ."), (["REGEN"], "viel regen .")])
    assert words == Words("phoenix", ("REGEN",), ("regen", "."))
    assert ids_of(["REGEN", "IX"], words.gloss_table) == [4, UNKNOWN_ID, END_ID]


def test_varied_glosses_lack_some_and_what_is_wanted_stays_whole() -> None:
    pair = ([*range(10, 60), END_ID], [*range(70, 120), END_ID])
    recipe = Recipe(glosses_dropped=0.2, glosses_unknown=0.2, words_unknown=0.2)
    glosses, said, wanted = varied(pair, recipe, random.Random(0))
    assert 25 < len(glosses) < 50
    assert glosses[-1] == END_ID
    assert 3 < glosses.count(UNKNOWN_ID) < 20
    assert said[0] == START_ID
    assert 3 < said.count(UNKNOWN_ID) < 20
    assert all(one in (UNKNOWN_ID, true) for one, true in zip(said[1:], wanted[:-1], strict=True))
    assert wanted == pair[1]


def test_every_pass_has_every_pair_once_in_batches_of_a_size() -> None:
    numbered = [([10 + number, END_ID], [*[200 + number] * (1 + number % 9), END_ID]) for number in range(50)]
    stream, met = batches(numbered, Recipe(glosses_dropped=0, glosses_unknown=0, width_of_batch=60), seed=0), []
    while len(met) < 50:
        batch = next(stream)
        assert batch.wanted.numel() <= 60
        assert (batch.wanted != PAD_ID).sum() == (batch.said != PAD_ID).sum()
        met += batch.glosses[:, 0].tolist()
    assert sorted(met) == [10 + number for number in range(50)]


def test_tokens_that_share_letters_share_vectors() -> None:
    assert {"^reg", "regen^"} & set(parts_of("REGEN")) == {"^reg"}
    assert parts_of("loc-NORD") == parts_of("nord")
    assert parts_of("KUEHL") == parts_of("kühl")
    assert parts_of("__ON__") == ["__on__"]
    torch.manual_seed(0)
    rain, showers, sun, alone = Parts(["REGEN", "regenschauer", "sonne", "xyz"], 64)()
    assert cosine_similarity(rain, showers, 0) > 0.3
    assert not alone.any()
    assert sun.shape == (64,)


def test_what_stands_together_begins_near() -> None:
    words = words_of([(glosses.split(), german) for glosses, german in LINES])
    numbered = [
        (ids_of(glosses.split(), words.gloss_table), ids_of(german.split(), words.word_table))
        for glosses, german in LINES
    ]
    tables = [*words.gloss_table, *words.word_table]
    found = start_vectors(standing(numbered, words), len(tables), 16)
    rain, word, other = (found[tables.index(token)] for token in ("REGEN", "regen", "schnee"))
    assert cosine_similarity(rain, word, 0) > cosine_similarity(rain, other, 0) + 0.3


def test_the_merged_network_says_what_the_learner_says() -> None:
    pairs = [(glosses.split(), german) for glosses, german in LINES]
    words = words_of(pairs)
    numbered = [
        (ids_of(glosses, words.gloss_table), ids_of(german.split(), words.word_table)) for glosses, german in pairs
    ]
    learner = Learner(words, RECIPE, standing(numbered, words), 0).eval()
    batch = next(batches(numbered, RECIPE, 0))
    with torch.no_grad():
        logits, _ = learner(batch)
        said = learner.merged()(
            input_ids=batch.glosses, attention_mask=(batch.glosses != PAD_ID).long(), decoder_input_ids=batch.said
        ).logits[batch.wanted != PAD_ID]
    torch.testing.assert_close(said, logits, rtol=1e-4, atol=1e-4)


def test_a_file_that_lacks_weights_is_refused_by_the_first_one(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "weights" / "phoenix", tmp_path / "torn")
    voice = tmp_path / "torn" / VOICE.format(0)
    weights = packed.read(voice)
    gone = next(name for name in weights if name.endswith("fc1.weight"))
    packed.write(voice, {name: value for name, value in weights.items() if name != gone})
    with pytest.raises(RefinerError, match=f"{gone}.*signbind train words"):
        WordWriter.load(tmp_path / "torn")
