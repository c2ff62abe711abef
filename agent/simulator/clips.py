"""A caller's sounds as clips: clean stems at 8 kHz, with what the energy rule finds in them."""

from __future__ import annotations

import csv
import io
import itertools
import wave
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agent.errors import AgentError
from agent.simulator.energy import RATE_HZ, Levels, Pcm, Span, levels, merged, stem_spans, stem_threshold
from telephony.audio.g711 import alaw_encode, ulaw_encode

PACKET_SAMPLES = 160
SHORTEST_HOLD_S = 0.3
"""A silence inside a turn from this length on is a hold: shorter ones are between words."""


class ClipError(AgentError):
    """This audio cannot be used."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One stem, padded to whole packets."""

    pcm: Pcm
    span: Span
    """From the first to the last active frame."""
    holds: tuple[Span, ...] = field(default=())
    _codes: dict[bool, bytes] = field(default_factory=dict, compare=False, repr=False)

    def code(self, *, alaw: bool) -> bytes:
        """The stem as G.711, encoded once for all callers."""
        if alaw not in self._codes:
            self._codes[alaw] = (alaw_encode(self.pcm) if alaw else ulaw_encode(self.pcm)).tobytes()
        return self._codes[alaw]

    @property
    def packets(self) -> int:
        return len(self.pcm) // PACKET_SAMPLES


def clip_of(pcm: Pcm) -> Clip:
    """A clip with its active span and holds. Raises ``ClipError`` if nothing in it is audible."""
    spans = stem_spans(pcm)
    if not spans:
        raise ClipError("nothing in this sound is audible")
    padded = np.zeros(-(-len(pcm) // PACKET_SAMPLES) * PACKET_SAMPLES, np.int16)
    padded[: len(pcm)] = pcm
    parts = merged(spans, SHORTEST_HOLD_S)
    holds = tuple(Span(before.end, after.start) for before, after in itertools.pairwise(parts))
    return Clip(padded, Span(spans[0].start, spans[-1].end), holds)


def active_level(pcm: Pcm) -> float:
    """Level of the active frames in dBFS."""
    found: Levels = levels(pcm)
    active = found[found >= stem_threshold(found)]
    return float(10 * np.log10(np.mean(10 ** (active / 10)))) if len(active) else -120.0


def scaled(pcm: Pcm, gain_db: float) -> Pcm:
    """Louder or softer, clipped at full scale."""
    return np.asarray(np.clip(np.round(pcm * 10.0 ** (gain_db / 20)), -32768, 32767), np.int16)


def at_level(pcm: Pcm, level_dbfs: float) -> Pcm:
    """Brought to an active level; peaks stay under −1 dBFS."""
    peak = float(np.max(np.abs(pcm.astype(np.float64)), initial=1.0))
    headroom_db = 20 * np.log10(29_200 / peak)
    return scaled(pcm, min(level_dbfs - active_level(pcm), headroom_db))


def trimmed(pcm: Pcm, *, margin_s: float = 0.02) -> Pcm:
    """Without the silence around it."""
    spans = stem_spans(pcm)
    if not spans:
        return pcm[:0]
    first = max(0, round((spans[0].start - margin_s) * RATE_HZ))
    return pcm[first : round((spans[-1].end + margin_s) * RATE_HZ)]


def silence(seconds: float) -> Pcm:
    return np.zeros(round(seconds * RATE_HZ), np.int16)


# --- files ---


def read_audio(path: Path) -> Pcm:
    """A WAV or FLAC file as 8 kHz mono. Raises ``ClipError`` with what is wrong and what to do."""
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise ClipError(f"{path}: {error}") from error
    if blob[:4] == b"fLaC":
        return _read_flac(path)
    try:
        with wave.open(io.BytesIO(blob)) as found:
            rate, channels, width = found.getframerate(), found.getnchannels(), found.getsampwidth()
            data = found.readframes(found.getnframes())
    except (wave.Error, EOFError) as error:
        raise ClipError(f"{path}: not a WAV file of PCM samples: {error}") from error
    if width != 2:
        raise ClipError(f"{path}: needs 16-bit samples, has {8 * width}-bit")
    samples = np.frombuffer(data, "<i2").reshape(-1, channels).mean(axis=1).astype(np.int16)
    return to_8k(samples, rate)


def _read_flac(path: Path) -> Pcm:
    try:
        import soundfile  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        raise ClipError(f"{path}: FLAC needs the package soundfile (pip install soundfile)") from None
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    return to_8k(np.asarray(samples).mean(axis=1).astype(np.int16), int(rate))


def to_8k(pcm: Pcm, rate_hz: int) -> Pcm:
    """8 kHz. Good enough for a telephone's test material."""
    if rate_hz == RATE_HZ:
        return pcm
    if rate_hz > RATE_HZ:
        # A crude low-pass first: what folds down from above 4 kHz would be heard.
        width = round(rate_hz / RATE_HZ)
        pcm = np.convolve(pcm.astype(np.float64), np.hanning(2 * width + 1) / width, "same").astype(np.int16)
    return at_times(pcm, rate_hz / RATE_HZ)


def at_times(pcm: Pcm, factor: float) -> Pcm:
    """Every ``factor``-th sample, by linear interpolation: shorter and higher for factors above 1."""
    places = np.arange(round(len(pcm) / factor)) * factor
    return np.asarray(np.interp(places, np.arange(len(pcm)), pcm), np.int16)


@dataclass(frozen=True, slots=True)
class SpeechFolder:
    """Recorded clips with a manifest: columns ``path``, ``kind`` and, where known, ``split`` and ``text``."""

    folder: Path
    rows: tuple[tuple[str, str, str], ...]
    """(path, kind, text)."""
    manifest: tuple[dict[str, str], ...] = ()
    """The same rows with all columns."""

    @classmethod
    def open(cls, folder: Path, *, split: str = "dev") -> SpeechFolder:
        """Clips of ``split`` (all, if the manifest knows no splits). Raises ``ClipError``."""
        try:
            with (folder / "manifest.csv").open(encoding="utf-8", newline="") as found:
                rows = list(csv.DictReader(found))
        except OSError as error:
            raise ClipError(f"{folder}: needs a manifest.csv: {error}") from error
        if not rows or "path" not in rows[0] or "kind" not in rows[0]:
            raise ClipError(f"{folder}/manifest.csv: needs the columns path and kind")
        chosen = [row for row in rows if row.get("split", split) == split]
        return cls(folder, tuple((row["path"], row["kind"], row.get("text") or "") for row in chosen), tuple(chosen))

    def of(self, *kinds: str) -> list[tuple[Path, str]]:
        """(path, text) of the clips of these kinds, in the manifest's order."""
        return [(self.folder / path, text) for path, kind, text in self.rows if kind in kinds]

    def described(self, *kinds: str) -> list[tuple[Path, dict[str, str]]]:
        """(path, all columns) of the clips of these kinds."""
        return [(self.folder / row["path"], row) for row in self.manifest if row["kind"] in kinds]
