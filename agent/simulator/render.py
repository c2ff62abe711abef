"""Scripts to sound: caller voices, and every step's clip, rendered before the call begins.

Caller voices are the product's own synthesisers (flite where the host has it, else Pico), changed in pitch and speed
so that callers differ. A flite voice is understood worse than Pico by machines on a telephone line, ``slt`` worst.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.errors import VoiceFailed
from agent.simulator.clips import Clip, ClipError, at_level, at_times, clip_of, read_audio, scaled, silence, trimmed
from agent.simulator.energy import RATE_HZ, Pcm
from agent.simulator.script import Background, Part, Script, Sound, Step
from agent.simulator.sounds import noise, tic
from agent.simulator.truth import EventType
from agent.voice import flite, pico
from agent.voice.clauses import split
from agent.voice.engine import ClauseJob, Engine

VOICES = ("pico:en-US", "flite:rms", "flite:awb", "flite:slt", "flite:kal", "pico:en-GB")
"""Best understood first."""
FRAME, HOP, SEARCH = 240, 120, 60
"""Of the time stretcher: 30 ms windows, half overlapped, aligned within 7.5 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """A step and, for sounds, its clip."""

    step: Step
    item: str
    """Label of the step, the same for each run of the script."""
    clip: Clip | None = None
    text: str = ""


class Renderer:
    """Renders and remembers. Not for two threads: the engines keep state."""

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}
        self._spoken: dict[tuple[str, str, float, float], Pcm] = {}

    def default_voice(self) -> str:
        """The first voice of ``VOICES`` that this host has. Raises ``VoiceFailed``."""
        return next(iter(self.voices()))

    def voices(self) -> list[str]:
        """Voices that this host has, best understood first. Raises ``VoiceFailed`` if there is none."""
        found = [name for name in VOICES if _missing(name) is None]
        if not found:
            raise VoiceFailed("no caller voice: install py-nanotts or libflite1")
        return found

    def speech(self, text: str, *, voice: str = "", speed: float = 1.0, pitch: float = 1.0) -> Pcm:
        """``text`` as 8 kHz speech without silence around it. Raises ``VoiceFailed``."""
        name = self.present(voice)
        key = (text, name, speed, pitch)
        if key not in self._spoken:
            pcm = self._say(name, text)
            if pitch != 1.0:
                pcm = at_times(pcm, pitch)
            if speed != pitch:
                pcm = stretched(pcm, pitch / speed)
            self._spoken[key] = trimmed(pcm)
        return self._spoken[key]

    def present(self, voice: str) -> str:
        """``voice`` if this host has it, else the default: a script must run on a host without flite."""
        name = _full_name(voice) if voice else self.default_voice()
        if name not in VOICES:
            raise VoiceFailed(f"no caller voice {voice!r}; known: {', '.join(VOICES)}")
        return name if _missing(name) is None else self.default_voice()

    def _say(self, name: str, text: str) -> Pcm:
        engine = self._engines.get(name) or self._engines.setdefault(name, _engine(name))
        pieces: list[Pcm] = []

        def take(pcm: Pcm, _times: object) -> bool:
            pieces.append(pcm.copy())
            return True

        clauses = split(text)
        if not clauses:
            raise VoiceFailed(f"nothing can be said of {text!r}")
        for clause in clauses:
            words = tuple(token.spoken for token in clause.tokens)
            engine.say(ClauseJob(words=words, mark=clause.mark, first_word=clause.first_word), take)
            if not clause.last:
                pieces.append(silence(min(clause.pause_ms, 200) / 1000))
        return np.concatenate(pieces)

    # --- scripts ---

    def cues(self, script: Script) -> tuple[Cue, ...]:
        """Every step of ``script`` with its sound. Raises ``VoiceFailed`` or ``ClipError`` naming the line."""
        rng = np.random.default_rng(script.seed)
        return tuple(self._cue(script, index, step, rng) for index, step in enumerate(script.steps))

    def _cue(self, script: Script, index: int, step: Step, rng: np.random.Generator) -> Cue:
        item = f"{index}:{type(step).__name__.lower()}"
        if not isinstance(step, Sound):
            return Cue(step=step, item=item)
        try:
            pcm = self._sound(script, step, rng)
            clip = clip_of(pcm)
        except (ClipError, VoiceFailed) as error:
            raise ClipError(f"{script.name}:{step.line}: {error}") from error
        text = " ".join(part.text for part in step.parts if part.text) or step.kind
        return Cue(step=step, item=f"{index}:{step.type}", clip=clip, text=text)

    def _sound(self, script: Script, step: Sound, rng: np.random.Generator) -> Pcm:
        if step.type is EventType.NOISE and not step.parts:
            return at_level(noise(step.kind, step.ms / 1000, rng), script.level_dbfs - step.snr_db)
        if step.type is EventType.TIC and not step.parts:
            return scaled(at_level(tic(step.kind, rng), script.level_dbfs), step.gain_db)
        pieces = [self._part(script, step, part) for part in step.parts]
        if step.type is EventType.NOISE:  # a recorded noise: a stretch of it
            whole = np.concatenate(pieces)
            first = int(rng.integers(0, max(1, len(whole) - step.ms * 8)))
            return at_level(whole[first : first + step.ms * 8], script.level_dbfs - step.snr_db)
        return scaled(np.concatenate(pieces), step.gain_db)

    def _part(self, script: Script, step: Sound, part: Part) -> Pcm:
        if part.pause_ms:
            return silence(part.pause_ms / 1000)
        if part.wav:
            return at_level(trimmed(read_audio(Path(part.wav))), script.level_dbfs)
        voice = step.voice or script.voice
        if step.type is EventType.SIDE_TALK and not step.voice:
            voice = self._another(voice)
        said = self.speech(part.text, voice=voice, speed=script.speed, pitch=script.pitch)
        return at_level(said, script.level_dbfs)

    def _another(self, voice: str) -> str:
        """Somebody else in the room has another voice."""
        own = self.present(voice)
        return next((name for name in self.voices() if name != own), own)


def stretched(pcm: Pcm, factor: float) -> Pcm:
    """``factor`` times as long at the same pitch: overlapping windows, each aligned to what went before (WSOLA)."""
    if len(pcm) < 2 * FRAME:
        return pcm
    source = np.concatenate((pcm.astype(np.float64), np.zeros(FRAME + SEARCH)))
    window = np.hanning(FRAME)
    frames = max(1, round(len(pcm) * factor / HOP))
    out, weight = np.zeros(frames * HOP + FRAME), np.full(frames * HOP + FRAME, 1e-6)
    follow = source[:FRAME]
    for index in range(frames):
        ideal = min(round(index * HOP / factor), len(pcm) - 1)
        low = max(0, ideal - SEARCH)
        scores = np.correlate(source[low : min(ideal + SEARCH, len(source) - FRAME) + FRAME], follow, "valid")
        place = low + int(np.argmax(scores))
        out[index * HOP : index * HOP + FRAME] += window * source[place : place + FRAME]
        weight[index * HOP : index * HOP + FRAME] += window
        follow = source[place + HOP : place + HOP + FRAME]
        if len(follow) < FRAME:
            break
    return np.asarray(np.clip(out / np.maximum(weight, 0.1), -32768, 32767)[: round(len(pcm) * factor)], np.int16)


def background(kind: str, snr_db: float, script: Script) -> Pcm:
    """Ten seconds of background noise, to be looped, at ``snr_db`` under this caller's speech."""
    rng = np.random.default_rng(script.seed + 1)
    return at_level(noise(kind, 10.0, rng), script.level_dbfs - snr_db)


def backgrounds(script: Script) -> dict[tuple[str, float], Pcm]:
    """The backgrounds that ``script`` names, made now, by kind and level.

    A babble takes half a second: made when it begins, it would hold up the packets of every line of the media thread.
    """
    steps = [step for step in script.steps if isinstance(step, Background) and step.kind != "off"]
    return {(step.kind, step.snr_db): background(step.kind, step.snr_db, script) for step in steps}


def _full_name(voice: str) -> str:
    """``rms`` and ``en-US`` are short for ``flite:rms`` and ``pico:en-US``."""
    if ":" in voice:
        return voice
    return f"flite:{voice}" if voice in flite.NAMES else f"pico:{voice}"


def _missing(name: str) -> str | None:
    family, _, voice = name.partition(":")
    return flite.missing(voice) if family == "flite" else pico.missing()


def _engine(name: str) -> Engine:
    family, _, voice = name.partition(":")
    makers: dict[str, Callable[[str], Engine]] = {"flite": flite.FliteEngine, "pico": pico.PicoEngine}
    if family not in makers:
        raise VoiceFailed(f"no caller voice {name!r}; known: {', '.join(VOICES)}")
    return makers[family](voice)


def longest_s(cues: Sequence[Cue]) -> float:
    """Seconds of sound in a script, for progress displays."""
    return sum(len(cue.clip.pcm) / RATE_HZ for cue in cues if cue.clip is not None)
