"""What voices cost, and what a listener understands of them on a telephone: ``crosstalk bench voice``.

Each voice says the same sentences clause by clause, as in a call, one after the other and in this process (Piper in
its own, which counts). CPU seconds are those of the engine alone, without loading; first audio is the CPU of a
sentence's first clause. The listener hears the audio behind mu-law; its word errors are by edit distance.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.bench.machine import children, machine_facts, process_cost
from agent.config import VoiceConfig
from agent.pull.store import located
from agent.transcribe.recording import to_16_khz
from agent.transcribe.whisper import Whisper
from agent.voice.choose import choose
from agent.voice.clauses import split
from agent.voice.client import job_of
from agent.voice.engine import Engine, Times
from agent.voice.process import make_engine, warm
from telephony.audio.g711 import ulaw_decode, ulaw_encode

SENTENCES: Final = (
    "Your parcel is on its way and will be with you tomorrow morning.",
    "I am sorry, nobody was at home when the driver came to your street.",
    "Would you like us to leave it with a neighbour, or to try again on Tuesday?",
    "Please tell me the name on the label, and the street where you live.",
    "The shop on the corner keeps it for a week, and opens early every day.",
    "Thank you, that is all I need to know. Have a good evening, and goodbye.",
    "If you paid by card, the money will be back on your account by the end of the month.",
    "Your appointment is on Thursday afternoon, in the office behind the railway station.",
)
"""Nothing that a listener may write as a figure."""
PAUSE_SAMPLES: Final = 2400
DEFAULT: Final = ("flite", "pico")
_WORD = re.compile(r"[a-z']+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One sentence by one voice."""

    pcm: NDArray[np.int16]
    cpu_s: float
    first_cpu_s: float
    first_wall_s: float


def run_voice_bench(
    voices: Sequence[VoiceConfig], *, models: Path, listener: str, program: str, sentences: Sequence[str] = SENTENCES
) -> dict[str, Any]:
    """Figures of each voice. Raises ``ConfigError``, ``VoiceFailed`` or ``TranscriptFailed``."""
    whisper = Whisper(Path(located(str(models), listener))) if listener else None
    asked = voices or tuple(VoiceConfig(engine=engine) for engine in DEFAULT)
    rows = []
    for voice in asked:
        found = VoiceConfig(
            engine=voice.engine, name=voice.name, model=located(str(models), voice.model), program=program
        )
        choice = choose(found)
        engine = warm(make_engine(choice.engine, choice.handed))
        try:
            spoken = [speak(engine, sentence) for sentence in sentences]
        finally:
            getattr(engine, "close", lambda: None)()
        rows.append({"voice": choice.label, **figures(spoken), **heard(whisper, spoken, sentences)})
    return {"machine": machine_facts(), "sentences": len(sentences), "listener": listener, "voices": rows}


def speak(engine: Engine, sentence: str) -> Spoken:
    pieces: list[NDArray[np.int16]] = []
    costs: list[float] = []
    walls: list[float] = []

    def emit(pcm: NDArray[np.int16], _times: Times | None) -> bool:
        pieces.append(pcm)
        return True

    for clause in split(sentence):
        begin, wall = _cpu_s(), time.perf_counter()
        engine.say(job_of(clause), emit)
        costs.append(_cpu_s() - begin)
        walls.append(time.perf_counter() - wall)
    return Spoken(pcm=np.concatenate(pieces), cpu_s=sum(costs), first_cpu_s=costs[0], first_wall_s=walls[0])


def _cpu_s() -> float:
    """Of this process and its children so far."""
    costs = [process_cost(pid) for pid in children(os.getpid())]
    return time.process_time() + sum(cost.cpu_s for cost in costs if cost is not None)


def figures(spoken: Sequence[Spoken]) -> dict[str, float]:
    seconds = sum(one.pcm.size for one in spoken) / 8000
    return {
        "speech_s": round(seconds, 1),
        "cpu_s_per_s": round(sum(one.cpu_s for one in spoken) / seconds, 4),
        "first_clause_cpu_ms": round(1000 * float(np.median([one.first_cpu_s for one in spoken])), 1),
        "first_clause_wall_ms": round(1000 * float(np.median([one.first_wall_s for one in spoken])), 1),
    }


def heard(whisper: Whisper | None, spoken: Sequence[Spoken], sentences: Sequence[str]) -> dict[str, Any]:
    """Word errors of the listener, in percent; nothing without one."""
    if whisper is None:
        return {}
    wrong, words = 0, 0
    for one, sentence in zip(spoken, sentences, strict=True):
        quiet = np.zeros(PAUSE_SAMPLES, np.int16)
        line = ulaw_decode(ulaw_encode(np.concatenate((quiet, one.pcm, quiet))))
        said = " ".join(word.text for word in whisper.words(to_16_khz(line, 8000), "en"))
        wanted = _WORD.findall(sentence.lower())
        wrong += distance(wanted, _WORD.findall(said.lower()))
        words += len(wanted)
    return {"words": words, "word_errors_percent": round(100 * wrong / words, 1)}


def distance(wanted: Sequence[str], got: Sequence[str]) -> int:
    """Words that must be changed, left out or put in to make one of the other (Levenshtein)."""
    row = list(range(len(got) + 1))
    for count, word in enumerate(wanted, 1):
        before, row[0] = row[0], count
        for at, other in enumerate(got, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (word != other))
    return row[-1]


def table(result: dict[str, Any]) -> str:
    """For people."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "voice": lambda row: str(row["voice"]),
        "CPU-s per s": lambda row: f"{row['cpu_s_per_s']:.3f}",
        "first clause": lambda row: f"{row['first_clause_cpu_ms']:.0f} ms CPU",
        "wall": lambda row: f"{row['first_clause_wall_ms']:.0f} ms",
        "word errors": lambda row: f"{row['word_errors_percent']} %" if "word_errors_percent" in row else "-",
    }
    return in_columns([tuple(columns), *[tuple(cell(row) for cell in columns.values()) for row in result["voices"]]])


def in_columns(lines: Sequence[tuple[str, ...]]) -> str:
    """Cells of equal number, one below the other."""
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
