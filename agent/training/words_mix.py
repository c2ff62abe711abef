"""Batches for the phone net: utterances strung together, then sent through a line that is drawn anew each time.

All in the log-mel domain: gain, microphone, room, noise, babble, coding noise and loss are additions of power or moves
of frames there, cheap enough to be drawn for each batch on any device. Batch ``k`` of a seed is always the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.model.small.features import BANDS, FLOOR_DB, STEP_DB
from agent.model.small.words_phones import sounds_of
from agent.training.errors import TrainingError
from agent.training.net.phones import STRIDE
from agent.training.words_data import Utterances

LENGTHS: Final = ((150, 0.25), (270, 0.35), (420, 0.25), (600, 0.15))
"""Frames of a batch's items, and shares."""
SHARES: Final = {"human digit": 0.25, "human word": 0.06, "human other": 0.17, "noise": 0.03, "synthetic": 0.49}
SPLICES: Final = 0.85
"""Chance that another utterance of the same speaker follows while there is room."""
LOSSY: Final = 0.2
LOUD_DB: Final = (2.0, 16.0)
"""How far below the caller a loud background is."""
LOUD_KINDS: Final = (0.35, 0.2, 0.45)
"""Shares: a steady bed, noises, other people."""
MOST_VOICES: Final = 5
NOTHING_DB: Final = 200.0
NOT_ASKED: Final = -1
GUIDE_DELAY: Final = 2
"""Frames of the net by which a phone is told later than it is said."""
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Strung:
    """A batch before the line."""

    frames: NDArray[np.int32]
    """``[B, T]`` which frame of the store is heard; -1: silence."""
    gains: NDArray[np.float32]
    """``[B, T]`` dB."""
    targets: list[list[int]]
    guide: NDArray[np.int64]
    """``[B, T / 3]`` phone that is said about then; -1: not asked."""


class Store:
    """All utterances, by what they are good for."""

    def __init__(self, found: Utterances, shares: dict[str, float] | None = None) -> None:
        self.codes = found.codes
        self._starts, self._lengths = found.starts, found.lengths
        self._sounds = [sounds_of(text) for text in found.texts]
        groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for at, (kind, speaker) in enumerate(zip(found.kinds, found.speakers, strict=True)):
            if self._sounds[at] is not None:
                groups[_group(kind)][speaker].append(at)
        self._speakers = {name: list(by.values()) for name, by in groups.items()}
        shares = {name: share for name, share in (shares or SHARES).items() if name in groups}
        if not shares:
            raise TrainingError("there are no utterances of any kind that is wanted")
        self._names = list(shares)
        self._shares = np.array(list(shares.values())) / sum(shares.values())
        self._weights = {name: _weights(by) for name, by in self._speakers.items()}
        self.noises = np.array([at for by in groups["noise"].values() for at in by], np.int64)

    def string(self, rows: int, length: int, rng: Rng) -> Strung:
        """``rows`` items of ``length`` frames."""
        frames = np.full((rows, length), -1, np.int32)
        gains = np.zeros((rows, length), np.float32)
        guide = np.zeros((rows, length // STRIDE), np.int64)
        targets: list[list[int]] = []
        for row, kind in enumerate(rng.choice(len(self._names), rows, p=self._shares)):
            targets.append(self._fill(self._names[kind], frames[row], gains[row], guide[row], rng))
        return Strung(frames, gains, targets, guide)

    def noise_frames(self, rows: int, length: int, rng: Rng) -> NDArray[np.int64]:
        """``[rows, length]`` frames of noises, each repeated as needed."""
        chosen = rng.choice(self.noises, rows)
        at = rng.integers(0, 1000, rows)[:, None] + np.arange(length)
        return np.asarray(self._starts[chosen][:, None] + at % self._lengths[chosen][:, None], np.int64)

    def babble_frames(self, rows: int, length: int, rng: Rng) -> NDArray[np.int64]:
        """``[rows, length]`` frames from anywhere in the store: other people's talk."""
        at = rng.integers(0, max(1, len(self.codes) - length), rows)[:, None] + np.arange(length)
        return np.asarray(at, np.int64)

    def _fill(
        self, name: str, frames: NDArray[np.int32], gains: NDArray[np.float32], guide: NDArray[np.int64], rng: Rng
    ) -> list[int]:
        """One item: utterances of one speaker with silences between. Returns the phones."""
        said: list[int] = []
        speakers = self._speakers[name]
        mine = speakers[int(rng.choice(len(speakers), p=self._weights[name]))]
        at = int(rng.integers(0, 45))
        for tries in range(24):
            one = mine[int(rng.integers(len(mine)))]
            pace = float(rng.uniform(0.85, 1.2))
            count = int(self._lengths[one] / pace)
            if at + count > len(frames):
                if said or tries > 18:
                    break
                speakers = self._speakers[name]
                mine = speakers[int(rng.choice(len(speakers), p=self._weights[name]))]
                continue
            frames[at : at + count] = self._starts[one] + (np.arange(count) * pace).astype(np.int32)
            gains[at : at + count] = rng.normal(0, 2)
            sounds = self._sounds[one] or ()
            if sounds:
                places = (at + (np.arange(count // STRIDE) * STRIDE)) // STRIDE + GUIDE_DELAY
                kept = places < len(guide)
                told = np.array(sounds)[np.arange(len(places)) * len(sounds) // max(1, len(places))]
                guide[places[kept]] = told[kept]
            said += sounds
            at += count + int(rng.choice((rng.integers(0, 8), rng.integers(5, 30), rng.integers(20, 80))))
            if rng.random() > SPLICES:
                break
        if rng.random() < LOSSY:
            for lost in rng.integers(4, len(frames) - 4, int(rng.integers(1, 6))):
                frames[lost : lost + 2] = frames[lost - 2 : lost]
        return said


def _group(kind: str) -> str:
    if kind in ("human digit", "human word", "noise"):
        return kind
    return "human other" if kind.startswith("human") else "synthetic"


def _weights(speakers: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """People of whom there is more come more often, by the root: strangers with three words count too."""
    sizes = np.sqrt([len(found) for found in speakers])
    return np.asarray(sizes / sizes.sum(), np.float64)


class Line:
    """The store's features on a device, and lines for them. ``seed`` decides everything.

    ``noisy``: share of the items that get a loud background besides (``LOUD_DB``).
    """

    def __init__(self, store: Store, device: str, noisy: float = 0.0) -> None:
        self._store, self.device, self._noisy = store, device, noisy
        # Silence is a frame of its own behind all others: index -1 finds it.
        with_silence = np.concatenate((store.codes, np.zeros((1, BANDS), np.uint8)))
        self._codes = torch.from_numpy(with_silence).to(device)
        self._bands = torch.arange(BANDS, device=device, dtype=torch.float32)

    def send(self, strung: Strung, rng: Rng) -> Tensor:
        """Codes ``uint8 [B, T, 40]`` as they would arrive."""
        rows, length = strung.frames.shape
        db = self._db(strung.frames) + self._to(strung.gains)[:, :, None]
        db = self._bent(db, self._uniform(rng, rows, 0.87, 1.15))
        db = db + self._microphone(rows, rng)[:, None, :]
        level = self._uniform(rng, rows, -38, -12)
        power = _power(db + (level + 22)[:, None, None])
        power = self._room(power, rng)
        power = power + self._noise(rows, length, level, rng)
        power = power + self._coding(power, rng)
        codes = torch.round((10 * torch.log10(power + 1e-9) - FLOOR_DB) / STEP_DB).clamp(0, 255)
        return self._masked(codes, rng).to(torch.uint8)

    def _db(self, frames: NDArray[np.integer]) -> Tensor:
        return self._codes[torch.from_numpy(frames).to(self.device).long()].float() * STEP_DB + FLOOR_DB

    def _to(self, values: NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(np.asarray(values, np.float32)).to(self.device)

    def _uniform(self, rng: Rng, rows: int, low: float, high: float) -> Tensor:
        return self._to(rng.uniform(low, high, rows))

    def _bent(self, db: Tensor, factor: Tensor) -> Tensor:
        """Bands moved by ``factor``: another length of the throat."""
        source = (self._bands[None, :] * factor[:, None]).clamp(0, BANDS - 1)
        low = source.floor().long()
        part = (source - low)[:, None, :]
        shape = db.shape
        first = torch.gather(db, 2, low[:, None, :].expand(shape))
        second = torch.gather(db, 2, (low + 1).clamp(max=BANDS - 1)[:, None, :].expand(shape))
        return first * (1 - part) + second * part

    def _microphone(self, rows: int, rng: Rng) -> Tensor:
        """``[B, 40]`` dB: tilt, ripples and the edges of a telephone's band."""
        at = self._bands / (BANDS - 1)
        shape = self._uniform(rng, rows, -7, 5)[:, None] * (at - 0.4)
        for waves in (1.0, 2.2, 3.7):
            phase = self._uniform(rng, rows, 0, 2 * np.pi)[:, None]
            shape = shape + self._uniform(rng, rows, 0, 3)[:, None] * torch.cos(np.pi * waves * at + phase)
        low, high = self._uniform(rng, rows, -2, 6)[:, None], self._uniform(rng, rows, 34, 42)[:, None]
        return shape - 6 * (low - self._bands).clamp(min=0) - 7 * (self._bands - high).clamp(min=0)

    def _room(self, power: Tensor, rng: Rng) -> Tensor:
        """Tails that fall by 60 dB in up to 0.6 s, in a third of the items."""
        rows = power.shape[0]
        seconds = rng.uniform(0.08, 0.6, rows)
        wet = rng.uniform(0.02, 0.5, rows) * (rng.random(rows) < 0.35)
        taps = 10 ** (-6 * 0.01 * np.arange(40)[None, :] / seconds[:, None])
        taps = taps / taps.sum(axis=1, keepdims=True) * wet[:, None]
        taps[:, 0] += 1
        kernel = self._to(taps[:, ::-1].copy())[:, None, :]
        line = torch.nn.functional.pad(power.permute(2, 0, 1), (39, 0))
        out = torch.nn.functional.conv1d(line, kernel, groups=rows)
        return out.permute(1, 2, 0)

    def _noise(self, rows: int, length: int, level: Tensor, rng: Rng) -> Tensor:
        """``[B, T, 40]`` power: a steady bed always, and in half of the items a noise or other people."""
        quiet = rng.random(rows) < 0.35
        snr = np.where(quiet, rng.uniform(35, 60, rows), rng.triangular(0, 18, 32, rows))
        bed = self._bed(rows, length, rng) * _power(level - self._to(snr))[:, None, None]
        more = rng.random(rows)
        frames = self._store.babble_frames(rows, length, rng)
        if self._store.noises.size:
            frames = np.where((more < 0.3)[:, None], self._store.noise_frames(rows, length, rng), frames)
        below = np.where(more < 0.3, rng.triangular(0, 15, 30, rows), rng.triangular(6, 20, 30, rows))
        below = np.where(more < 0.5, below, NOTHING_DB)
        other = _power(self._db(frames) + (level + 22 - self._to(below))[:, None, None])
        return bed + other + (self._loud(rows, length, level, rng) if self._noisy else 0.0)

    def _loud(self, rows: int, length: int, level: Tensor, rng: Rng) -> Tensor:
        """``[B, T, 40]`` power of a bed, of noises, or of a room full of people, in ``noisy`` of the items."""
        below = np.where(rng.random(rows) < self._noisy, rng.uniform(*LOUD_DB, rows), NOTHING_DB)
        kind = rng.choice(3, rows, p=LOUD_KINDS)
        bed = self._bed(rows, length, rng)
        noises = self._store.noise_frames if self._store.noises.size else self._store.babble_frames
        noise = _power(self._db(noises(rows, length, rng)) + 22)
        crowd = torch.zeros_like(noise)
        voices = rng.integers(1, MOST_VOICES + 1, rows)
        for number in range(MOST_VOICES):
            share = np.where(number < voices, 1 / voices, 0.0)[:, None, None]
            crowd = crowd + self._to(share) * _power(self._db(self._store.babble_frames(rows, length, rng)) + 22)
        chosen = torch.stack((bed, noise, crowd))[torch.from_numpy(kind), torch.arange(rows)]
        return chosen * _power(level - self._to(below))[:, None, None]

    def _bed(self, rows: int, length: int, rng: Rng) -> Tensor:
        """Noise of some colour whose bands fluctuate as those of noise do; about -14 dB a band."""
        at = self._bands / (BANDS - 1)
        colour = self._uniform(rng, rows, -25, 8)[:, None] * at + self._uniform(rng, rows, 0, 4)[:, None] * torch.cos(
            np.pi * 2 * at + self._uniform(rng, rows, 0, 6)[:, None]
        )
        colour = colour - 10 * torch.log10(_power(colour).mean(dim=1, keepdim=True)) - 14
        made = torch.Generator(device=self.device).manual_seed(int(rng.integers(1 << 60)))
        draws = torch.rand((rows, length, BANDS), generator=made, device=self.device)
        shape = 1 + 4 * at  # wide bands average more bins
        return _power(colour)[:, None, :] * (-torch.log(draws + 1e-6)) ** (1 / shape)

    def _coding(self, power: Tensor, rng: Rng) -> Tensor:
        """The noise of G.711: some 40 dB below each frame, in all bands; and that of an idle line."""
        rows = power.shape[0]
        below = self._uniform(rng, rows, 42, 58)[:, None, None]
        loud = power.amax(dim=2, keepdim=True)
        idle = _power(self._uniform(rng, rows, -90, -72))[:, None, None]
        return loud * _power(-below) + idle

    def _masked(self, codes: Tensor, rng: Rng) -> Tensor:
        rows, length = codes.shape[:2]
        width = rng.integers(0, 5, rows) * (rng.random(rows) < 0.3)
        first = rng.integers(0, BANDS - 4, rows)
        bands = np.arange(BANDS)[None, :]
        gone = (bands >= first[:, None]) & (bands < (first + width)[:, None])
        codes = codes * torch.from_numpy(~gone).to(self.device)[:, None, :]
        long = rng.integers(0, 6, rows) * (rng.random(rows) < 0.25)
        begin = rng.integers(0, length, rows)
        times = np.arange(length)[None, :]
        out = (times >= begin[:, None]) & (times < (begin + long)[:, None])
        return codes * torch.from_numpy(~out).to(self.device)[:, :, None]


def _power(db: Tensor) -> Tensor:
    return torch.pow(10.0, db / 10)
