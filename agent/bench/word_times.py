"""How far word times are off: ``crosstalk bench voice --word-times``.

Voices that know their word times say sentences clause by clause; the estimate and our own ears
(``agent.voice.aligned``) are given the same audio. Starts and ends at a clause's own edges are left out: they are where
its sound is.

``lag_ms`` is what ``LAG_MS`` would have to be for the voice. After the net was trained anew, set ``LAG_MS`` to the
middle one of the voices that training hears (``flite:awb``, ``flite:kal``, ``flite:kal16``), and judge by
``flite:rms``, which it does not hear. The worst fit of right words must lie above ``POOREST_FIT``, the best of other
words below.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from agent.bench.machine import machine_facts
from agent.bench.voice import SENTENCES, in_columns
from agent.config import VoiceConfig
from agent.errors import ConfigError
from agent.voice.aligned import LAG_MS, WordAligner, laid, open_aligner, spoken_words
from agent.voice.choose import choose
from agent.voice.clauses import split
from agent.voice.client import job_of
from agent.voice.engine import ClauseJob, Engine, NotAligned, Times, spread
from agent.voice.process import make_engine, warm
from agent.voice.shape import RATE_HZ, Pcm
from agent.voice.timing import estimate

MORE: Final = (
    "Hello, this is the parcel service. How can I help you?",
    "I have found it. Your parcel 48213377 left the depot in Leicester at half past 7.",
    "The driver, Mr. Okonkwo, tried to reach you twice, but nobody answered the door.",
    "It costs 12.50, and you can pay by card, by phone, or when it arrives.",
    "No, I am afraid not. We only deliver to Wroclaw and Gdansk on weekdays.",
    "Let me see, one moment please, I am looking for it now.",
    "Shall I send it to 27 Chestnut Avenue, or keep it here until the 3rd of May?",
    "That was order B 7 4 0 2, is that right?",
    "All right, I have cancelled your booking, and you will get a message about it shortly.",
    "Sorry, I did not understand that. Could you say it again, a little slower?",
    "Zbigniew will call you back before noon, unless the weather gets worse.",
    "Yes. It is insured up to 500 euros, so please keep the receipt.",
)
"""Numbers, names that no dictionary has, pauses inside a clause."""
OTHER: Final = 7
"""The clause so many further on lends its words, to see how little they fit."""
DEFAULT: Final = ("rms", "slt", "awb", "kal", "kal16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One clause with its true word times, and what was made of them."""

    words: tuple[str, ...]
    true: Times
    estimated: Times
    aligned: Times | None
    """``None``: the clause keeps its estimate."""
    samples: int
    cpu_s: float
    """Of the alignment."""
    fit: float
    other_fit: float
    """Of its words in its audio, and of another clause's, in nats a sound; not a number where they cannot lie in it."""

    @property
    def given(self) -> Times:
        """What the service goes by."""
        return self.estimated if self.aligned is None else self.aligned


def run_word_times_bench(voices: Sequence[VoiceConfig], sentences: Sequence[str] = SENTENCES + MORE) -> dict[str, Any]:
    """Figures of each voice. Raises ``ConfigError``, ``VoiceFailed`` or ``ModelError``."""
    aligner = open_aligner()
    jobs = [job_of(clause) for sentence in sentences for clause in split(sentence)]
    others = [*jobs[OTHER:], *jobs[:OTHER]]
    rows = []
    for voice in voices or tuple(VoiceConfig(engine="flite", name=name) for name in DEFAULT):
        choice = choose(voice)
        engine = make_engine(choice.engine, choice.handed)
        if not engine.exact:
            raise ConfigError("voice.engine", f"{choice.label} does not know its word times: nothing to compare with")
        warm(engine)
        rows.append(
            {
                "voice": choice.label,
                **figures([timed(engine, aligner, *both) for both in zip(jobs, others, strict=True)]),
            }
        )
    return {"machine": machine_facts(), "sentences": len(sentences), "lag_ms_in_use": LAG_MS, "voices": rows}


def timed(engine: Engine, aligner: WordAligner, job: ClauseJob, other: ClauseJob) -> Timed:
    """One clause by a voice that knows its word times; ``other``: words that are not said in it."""
    pieces: list[Pcm] = []
    true: list[Times] = []

    def emit(pcm: Pcm, times: Times | None) -> bool:
        pieces.append(pcm)
        true.extend([times] if times is not None else [])
        return True

    engine.say(job, emit)
    pcm = np.concatenate(pieces)
    begin = time.process_time()
    try:
        aligned = aligner.times(job, pcm)
    except NotAligned:
        aligned = None
    cpu_s = time.process_time() - begin
    estimated = spread(job.words, estimate(spoken_words(job), pcm))
    return Timed(
        words=job.words,
        true=true[0],
        estimated=estimated,
        aligned=aligned,
        samples=pcm.size,
        cpu_s=cpu_s,
        **fits(aligner, pcm, job, other),
    )


def fits(aligner: WordAligner, pcm: Pcm, job: ClauseJob, other: ClauseJob) -> dict[str, float]:
    logp = aligner.hear(pcm)
    assert logp is not None
    found = {}
    for name, words in (("fit", spoken_words(job)), ("other_fit", spoken_words(other))):
        try:
            found[name] = laid(words, logp).fit
        except NotAligned:
            found[name] = float("nan")
    return found


def figures(clauses: Sequence[Timed]) -> dict[str, Any]:
    seconds = sum(one.samples for one in clauses) / RATE_HZ
    return {
        "clauses": len(clauses),
        "kept_estimate": sum(one.aligned is None for one in clauses),
        "words": sum(len(one.words) for one in clauses),
        "estimate": errors([(one.true, one.estimated) for one in clauses]),
        "aligned": errors([(one.true, one.given) for one in clauses]),
        "lag_ms": lag_ms(clauses),
        "worst_fit": round(float(np.nanmin([one.fit for one in clauses])), 2),
        "best_fit_of_other_words": round(float(np.nanmax([one.other_fit for one in clauses])), 2),
        "cpu_ms_per_s": round(1000 * sum(one.cpu_s for one in clauses) / seconds, 1),
    }


def errors(pairs: Sequence[tuple[Times, Times]]) -> dict[str, float]:
    """Milliseconds off, of starts and ends inside the clauses; ``pairs``: true and found."""
    starts = [abs(a[0] - b[0]) for true, found in pairs for a, b in zip(true[1:], found[1:], strict=True)]
    ends = [abs(a[1] - b[1]) for true, found in pairs for a, b in zip(true[:-1], found[:-1], strict=True)]
    return {
        f"{name}_{label}_ms": round(float(np.percentile(values, share)) * 1000 / RATE_HZ, 1)
        for name, values in (("start", starts), ("end", ends))
        for label, share in (("p50", 50), ("p90", 90))
    }


def lag_ms(clauses: Sequence[Timed]) -> float | None:
    """The lag that would put half of the joints too late and half too early; those with a pause do not tell it."""
    late = [
        one.aligned[at][1] - one.true[at][1]
        for one in clauses
        if one.aligned is not None
        for at in range(len(one.words) - 1)
        if not one.words[at].endswith(",")
    ]
    return round(LAG_MS + float(np.median(late)) * 1000 / RATE_HZ, 1) if late else None


def table(result: dict[str, Any]) -> str:
    """For people: median and 90 % of the errors in milliseconds."""

    def pair(found: dict[str, float], name: str) -> str:
        return f"{found[f'{name}_p50_ms']:.0f} / {found[f'{name}_p90_ms']:.0f}"

    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "voice": lambda row: str(row["voice"]),
        "words": lambda row: str(row["words"]),
        "starts, estimated": lambda row: pair(row["estimate"], "start"),
        "aligned": lambda row: pair(row["aligned"], "start"),
        "ends, estimated": lambda row: pair(row["estimate"], "end"),
        "aligned ": lambda row: pair(row["aligned"], "end"),
        "kept": lambda row: f"{row['kept_estimate']} of {row['clauses']}",
        "lag": lambda row: f"{row['lag_ms']} ms",
        "fit, other words": lambda row: f"{row['worst_fit']}, {row['best_fit_of_other_words']}",
        "CPU": lambda row: f"{row['cpu_ms_per_s']} ms/s",
    }
    return in_columns([tuple(columns), *[tuple(cell(row) for cell in columns.values()) for row in result["voices"]]])
