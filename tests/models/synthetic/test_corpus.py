"""The synthetic signer: lexicon, sentences, scripts, pictures and their truth."""

import string
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from models.synthetic import corpus, lexicon
from models.synthetic.renderer import Renderer
from models.synthetic.script import Script, compile_script
from models.synthetic.sentences import Sentence, english_to_glosses, from_grammar, is_held_out, names_held_out
from models.synthetic.signer import Signer, paint_background
from models.synthetic.write_clip import synth
from models.vocabulary import FINGERSPELLING, REST, SIGN


def test_signs_differ_in_what_the_hands_show_unless_they_form_a_group() -> None:
    seen: dict[tuple[object, ...], str] = {}
    signs = lexicon.load().signs
    assert len(signs) >= 500
    for gloss, sign in signs.items():
        other = seen.setdefault(sign.manual(), gloss)
        if other != gloss:
            assert sign.group, f"{gloss} looks like {other}"
            assert sign.group == signs[other].group, f"{gloss} looks like {other}"
    assert len({sign.group for sign in signs.values() if sign.group}) >= 6


def test_signs_of_a_group_are_mouthed_differently() -> None:
    groups: dict[str, list[str]] = {}
    for sign in lexicon.load().signs.values():
        if sign.group:
            groups.setdefault(sign.group, []).append(sign.spoken)
    for group, spoken in groups.items():
        assert len(set(spoken)) == len(spoken) >= 2, group


@pytest.mark.parametrize(
    ("english", "tokens"),
    [
        ("My name is Maria.", ("MY", "NAME", "#MARIA")),
        ("We were running.", ("WE", "RUN")),
        ("She bought a zither.", ("SHE", "BUY", "#ZITHER")),
        ("How many sisters do you have?", ("HOW-MANY", "SISTER", "YOU", "HAVE")),
    ],
)
def test_english_becomes_glosses_and_spelled_words(english: str, tokens: tuple[str, ...]) -> None:
    assert english_to_glosses(english) == tokens


def test_grammar_keeps_to_its_side_of_the_split() -> None:
    rng = np.random.default_rng(0)
    for held_out in (False, True):
        for _ in range(30):
            assert is_held_out(from_grammar(rng, held_out).english) == held_out


def test_seeds_keep_to_their_side_of_the_split() -> None:
    with pytest.raises(ValueError, match="held-out"):
        corpus.clip(5, held_out=True)
    with pytest.raises(ValueError, match="held-out"):
        corpus.clip(corpus.FIRST_HELD_OUT_SEED)


def test_every_sign_can_be_performed_without_a_jump() -> None:
    for gloss in lexicon.load().glosses[::9]:
        script = compile_script(Sentence(gloss, (gloss,)), np.random.default_rng(1))
        moved = np.linalg.norm(np.diff(script.motion.position, axis=0), axis=-1)
        assert moved.max() < 0.6, gloss
        assert np.isfinite(script.motion.palm).all(), gloss


def test_a_script_tells_what_is_shown_when() -> None:
    script = compile_script(Sentence("My name is Bo.", ("MY", "NAME", "#BO")), np.random.default_rng(2))
    assert [span.text for span in script.glosses] == ["MY", "NAME"]
    assert [span.text for span in script.letters] == ["B", "O"]
    assert script.routes[0] == REST and script.routes[-1] == REST
    assert {SIGN, FINGERSPELLING} <= set(script.routes.tolist())
    starts = [span.start_ms for span in (*script.glosses, *script.letters)]
    assert starts == sorted(starts)
    assert len(script.phonemes) >= 5


def test_practice_favours_what_is_asked_for() -> None:
    rng, known = np.random.default_rng(3), set(lexicon.load().glosses)
    drawn = [token for _ in range(200) for token in corpus.practice(rng, ("MILK-NOT-REAL",)).tokens]
    share = drawn.count("MILK-NOT-REAL") / len(drawn)
    assert 0.6 < share < 0.75 and set(drawn) - {"MILK-NOT-REAL"} <= known
    assert len({token for _ in range(800) for token in corpus.practice(rng).tokens}) > 0.95 * len(known)


def test_who_sits_close_to_the_camera_signs_where_it_sees() -> None:
    signer = Signer.draw(np.random.default_rng(4), close=1.0)
    sentence = Sentence("My name is Bo.", ("MY", "NAME", "#BO"))
    usual = compile_script(sentence, np.random.default_rng(2))
    raised = compile_script(sentence, np.random.default_rng(2), signer.lowest_palm)
    assert _share_seen(signer, raised) > 0.9 > 0.5 > _share_seen(signer, usual)
    assert raised.motion.position[..., 1].max() < 1.0
    far = compile_script(sentence, np.random.default_rng(2), Signer.draw(np.random.default_rng(5), close=0).lowest_palm)
    assert np.array_equal(far.motion.position, usual.motion.position)


def _share_seen(signer: Signer, script: Script) -> float:
    """Share of signing frames whose right hand is in the picture."""
    renderer, signing = Renderer(signer), np.flatnonzero(script.routes != REST)
    return float(np.mean([renderer.boxes(script.motion, int(t))["right_hand"] is not None for t in signing]))


def test_an_unknown_gloss_is_named() -> None:
    with pytest.raises(ValueError, match="'NONSENSE'"):
        compile_script(Sentence("x", ("NONSENSE",)), np.random.default_rng(0))


def test_boxes_lie_on_what_is_drawn() -> None:
    clip = corpus.clip(3, "You know my family.")
    renderer = Renderer(clip.signer)
    middle = len(clip.script.routes) // 2
    frame, boxes = renderer.render(clip.script.motion, middle), renderer.boxes(clip.script.motion, middle)
    face = boxes["face"]
    assert frame.shape == (480, 640, 3) and frame.dtype == np.uint8
    assert face is not None
    x, y = round(face[0] * 640), round(face[1] * 480)
    drawn = frame[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).mean(0)
    assert np.abs(drawn - clip.signer.skin).mean() < 90
    mouth = boxes["mouth"]
    assert mouth is not None and mouth[1] > face[1] and mouth[2] < face[2]


def test_the_same_seed_draws_the_same_clip() -> None:
    first, again = (next(corpus.clip(11).frames()) for _ in range(2))
    assert np.array_equal(first[0], again[0]) and first[1] == again[1]


def test_a_clip_is_written(tmp_path: Path) -> None:
    synth("Hello.", tmp_path / "hello.mp4", seed=4)
    with av.open(str(tmp_path / "hello.mp4")) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == len(corpus.clip(4, "Hello.").script.routes)


def test_a_signer_who_stands_out_little_has_clothes_or_surroundings_of_the_skins_colour() -> None:
    for seed in range(40):
        usual = Signer.draw(np.random.default_rng(seed))
        hidden = Signer.draw(np.random.default_rng(seed), alike=1.0)
        near = [colour for colour in (hidden.shirt, hidden.around) if colour is not None]
        assert min(float(np.abs(colour - hidden.skin).max()) for colour in near) < 0.75 * float(hidden.skin.max())
        assert hidden.around is not None or not np.array_equal(hidden.shirt, usual.shirt)
        assert np.array_equal(hidden.skin, usual.skin), "what is measured is drawn by the same numbers"


def test_surroundings_take_a_colour() -> None:
    skin = np.array([140, 95, 70], np.float32)
    apart = [np.abs(paint_background(seed, 64, 48, skin).mean((0, 1)) - skin).mean() for seed in range(12)]
    assert np.median(apart) < 25


def test_spelling_practice_spells_words_between_signs_but_no_held_out_name() -> None:
    rng, known = np.random.default_rng(0), lexicon.load().signs
    drawn = [corpus.spelling_practice(rng).tokens for _ in range(300)]
    spelled = {token[1:] for tokens in drawn for token in tokens if token.startswith("#")}
    assert not spelled & names_held_out()
    assert len(spelled) > 500 and {letter for word in spelled for letter in word} == set(string.ascii_uppercase)
    for tokens in drawn:
        assert tokens[0] in known, "a sign first, then a word"
        assert all(token.startswith("#") or token in known for token in tokens)
        assert not any(a.startswith("#") and b.startswith("#") for a, b in pairwise(tokens))
