"""Pairs for the language model: slots on both sides, nothing held out, noise that leaves the names alone."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from models.synthetic.sentences import is_held_out
from models.training.gloss_corpora import aslg_tokens, clean_english, ncslgr_rows, ncslgr_tokens
from models.training.language_stage import batches, count_lexemes, encode, train_tokenizer
from models.training.text_pairs import (
    Corpora,
    Pair,
    blanked,
    english_alone,
    grammar_pairs,
    pair_of,
    proper_words,
    swapped,
)


def test_spelled_words_become_slots_on_both_sides() -> None:
    pair = pair_of(("MY", "FRIEND", "#ANNA", "KNOW", "#TOM", "#ANNA"), "My friend Anna knows Tom. Anna's fine.")
    assert pair == Pair("my friend <fs1> know <fs2> <fs1>", "my friend <fs1> knows <fs2>. <fs1>'s fine.")


def test_a_long_word_is_found_by_its_first_letters() -> None:
    assert pair_of(("#ACCESSORI",), "Accessories!") == Pair("<fs1>", "<fs1>!")
    assert pair_of(("SEE", "#ANN"), "See Anna.") is None


def test_more_names_than_slots_make_no_pair() -> None:
    names = [f"N{letter}" for letter in "ABCDEFGHI"]
    assert pair_of([f"#{name}" for name in names], " ".join(names)) is None


def test_capitals_that_always_stand_are_proper() -> None:
    assert proper_words(["On Monday we go to the Go club.", "We go Monday."]) == {"Monday"}


def test_a_lemma_is_exchanged_on_both_sides_and_nothing_held_out_comes_of_it() -> None:
    pairs = [Pair("close it again", "close it again."), Pair("<fs1> like dance", "<fs1> likes to dance.")] * 200
    found = set(swapped(pairs, random.Random(0)))
    assert len(found) > 20
    assert not any(is_held_out(pair.english[0].upper() + pair.english[1:]) for pair in found)
    for pair in found - set(pairs):
        [new] = set(pair.gloss.split()) - {"close", "it", "again", "<fs1>", "like", "dance"} or {""}
        assert new in pair.english


def test_ncslgr_notation_is_read() -> None:
    gloss = 'fs-MARY:i (1h)HAVE IX-1p "5""wow""" part:indef WANT+NEG TELL:k READ_2++ SOMETHING/ONE ns-fs-OMAHA #UP QMwg SCL:1'
    assert ncslgr_tokens(gloss) == ["#MARY", "HAVE", "ME", "WANT", "NOT", "TELL", "READ", "SOMETHING", "#OMAHA", "#UP"]
    header = "file\tutterance\tsigner\tgloss\tgloss_ms\tenglish"
    assert list(ncslgr_rows([header, "a\t1\tx\tME GO\t-\tI (do) go...", "a\t2\tx\tME\t-\tI."])) == [
        (["ME", "GO"], "I go")
    ]


def test_aslg_notation_is_read() -> None:
    assert aslg_tokens("X-I DESC-FAR X-POSS WANT , GO .") == ["ME", "FAR", "WANT", "GO"]
    assert clean_english('so i said " i \'m fine " .') == "so I said I'm fine."


def test_the_corpora_hold_nothing_that_is_held_out(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    sentences = [f"I want {number} tables now." for number in ("two", "three", "four", "five", "six", "ten")]
    sentences += [
        f"We will {verb} the dog." for verb in ("see", "find", "call", "wash", "hold", "paint", "feed", "buy")
    ]
    (tmp_path / "text/how2sign.train.tsv").write_text(
        "".join(f"clip{i:07d}_1.mp4\t{s}\n" for i, s in enumerate(sentences))
    )
    (tmp_path / "text/ncslgr.train.tsv").write_text("file\tutterance\tsigner\tgloss\tgloss_ms\tenglish\n")
    (tmp_path / "text/aslg_pc12.train.tsv").write_text("X-I WANT DOG\ti want the dog .\n")
    corpora = Corpora.read(tmp_path)
    trained = len(corpora.lexicon) + len(corpora.how2sign)
    assert 0 < trained == sum(not is_held_out(sentence) for sentence in sentences)
    (tmp_path / "text/ncslgr.train.tsv").unlink()
    with pytest.raises(ValueError, match="expected .*ncslgr"):
        Corpora.read(tmp_path)


def test_of_english_alone_function_words_are_to_be_filled_in_and_what_is_spelled_is_told() -> None:
    rng = random.Random(0)
    plain = Pair("boat between car and door", "the boat is between the car and the door.")
    named = Pair("<fs1> and me", "<fs1> and me.")
    told = [blanked(plain, rng) for _ in range(300)]
    assert {one.english for one in told} == {plain.english}
    prompts = [one.gloss for one in told]
    assert 60 < prompts.count("") < 140
    assert {"boat car door", "boat between car door", "boat car and door", plain.gloss} == set(prompts) - {""}
    assert {blanked(named, rng).gloss for _ in range(50)} == {"<fs1> and me", "<fs1> me"}


def test_english_alone_is_of_the_training_part_and_without_names_in_lower_case(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    sentences = [f"We will {verb} the old dog today." for verb in ("see", "find", "call", "wash", "hold", "paint")]
    sentences += [f"I want {number} tables for the dog." for number in ("two", "three", "four", "five", "six", "ten")]
    (tmp_path / "text/how2sign.train.tsv").write_text("".join(f"clip_{i}.mp4\t{s}\n" for i, s in enumerate(sentences)))
    aslg = ("i want the old dog .", "europe will paint the old dog .")
    (tmp_path / "text/aslg_pc12.train.tsv").write_text("".join(f"X-I DOG\t{english}\n" for english in aslg))
    found = english_alone(tmp_path, random.Random(0), draws=40)
    kept = [sentence for sentence in sentences if not is_held_out(sentence)]
    assert [pair.english.lower() for pair in found["how2sign"]] == [sentence.lower() for sentence in kept]
    assert not any("europe" in pair.english for pair in found["aslg"])
    assert len(found["aslg"]) == (not is_held_out("I want the old dog."))
    assert 20 < len(found["grammar"]) <= 40
    assert set(english_alone(Path("nowhere"), random.Random(0), draws=40, permissive_only=True)) == {"grammar"}
    (tmp_path / "text/aslg_pc12.train.tsv").unlink()
    with pytest.raises(ValueError, match="expected .*aslg_pc12"):
        english_alone(tmp_path, random.Random(0), draws=40)


def test_permissive_pairs_need_no_files() -> None:
    corpora = Corpora.read(Path("nowhere"), permissive_only=True)
    assert not (corpora.lexicon or corpora.how2sign or corpora.ncslgr or corpora.aslg)
    pairs = list(islice(grammar_pairs(np.random.default_rng(0), corpora.proper), 50))
    assert len({pair.english for pair in pairs}) > 30
    assert not any("Maria" in pair.english for pair in pairs)


def test_the_loss_is_on_the_english_alone() -> None:
    pairs = list(islice(grammar_pairs(np.random.default_rng(0), frozenset()), 60))
    tokenizer = train_tokenizer(pairs, 400)
    before, after = encode(Pair("me name <fs1>", "my name is <fs1>."), tokenizer)
    assert tokenizer.convert_ids_to_tokens(before)[-1] == "<english>"
    assert tokenizer.decode(after).replace("<fs1>", " <fs1>") == " my name is <fs1>.</s>"
    batch = next(batches(iter(pairs), tokenizer, 4, seed=0, pool=2))
    assert batch.ids.shape == batch.labels.shape
    first = batch.labels[0] != -100
    assert (batch.labels[0][first] == batch.ids[0][first]).all()
    assert 0 < first.sum() < (batch.ids[0] != tokenizer.pad_token_id).sum()


def test_words_are_counted_with_their_glosses() -> None:
    verbs = (("eat", "ate"), ("come", "came"), ("see", "saw"), ("run", "ran"), ("know", "knew"), ("give", "gave"))
    pairs = [Pair(f"he {gloss}", f"he {word} away.") for gloss, word in verbs]
    pairs += [Pair("he leave", "he left."), Pair("he leave", "he has left.")]
    words = count_lexemes(pairs * 4, frozenset()).words
    assert words["LEAVE"] == {"left"}
    assert words["COME"] == {"came"}
