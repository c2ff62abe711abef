"""festival as a caller: a program of its own that is told Scheme; word times from its utterance."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
import wave
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from agent.errors import VoiceFailed
from agent.training.voices.spoken import Spoken
from agent.training.voices.synth import spoken_from

FUNCTIONS: Final = {"ked": "voice_ked_diphone", "kal": "voice_kal_diphone", "slt-hts": "voice_cmu_us_slt_arctic_hts"}
"""Names here to festival's (Debian ``festvox-kdlpc16k``, ``festvox-kallpc16k``, ``festvox-us-slt-hts``)."""
_FIRST: Final = "R:SylStructure.daughter1.daughter1.R:Segment.p.end"
_LAST: Final = "R:SylStructure.daughtern.daughtern.R:Segment.end"


class _Festival:
    """The running program."""

    def __init__(self) -> None:
        program = shutil.which("festival")
        if program is None:
            raise VoiceFailed("festival is not on this host")
        folder = tempfile.mkdtemp(prefix="crosstalk-festival-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self.wav = Path(folder) / "said.wav"
        self._child = subprocess.Popen(
            (program, "--pipe"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        atexit.register(self.close)

    def close(self) -> None:
        """End the program."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        self._child.terminate()
        self._child.wait(timeout=5)

    def say(self, voice: str, text: str, pace: float) -> list[tuple[float, float]]:
        """Times of the words; the samples are in ``wav``."""
        out, back = self._child.stdin, self._child.stdout
        if out is None or back is None:
            raise VoiceFailed("festival has no pipes")
        out.write(
            f"({voice}) (Parameter.set 'Duration_Stretch {1 / pace:.3f})"
            f'(set! said (utt.synth (Utterance Text "{text}")))'
            '(mapcar (lambda (word) (format t "@ %f %f\\n"'
            f' (item.feat word "{_FIRST}") (item.feat word "{_LAST}")))'
            " (utt.relation.items said 'Word))"
            f'(utt.save.wave said "{self.wav}" \'riff) (format t "@ done\\n") (fflush nil)\n'
        )
        out.flush()
        times: list[tuple[float, float]] = []
        for line in back:
            if line.startswith("@ done"):
                return times
            if line.startswith("@ "):
                first, last = line[2:].split()
                times.append((float(first), float(last)))
        raise VoiceFailed("festival ended")


@lru_cache(maxsize=1)
def _program() -> _Festival:
    return _Festival()


class FestivalVoice:
    """One festival voice; word times are exact. Its melody cannot be moved per utterance: warp does it."""

    def __init__(self, name: str) -> None:
        self._voice = FUNCTIONS[name]

    def say(self, text: str, *, pace: float = 1.0, pitch: float = 1.0, mark: str = ".") -> Spoken:
        words = text.split()
        clean = " ".join("".join(c for c in word if c.isalpha() or c == "'") for word in words)
        program = _program()
        times = program.say(self._voice, clean + mark, pace)
        with wave.open(str(program.wav)) as found:
            rate_hz, data = found.getframerate(), found.readframes(found.getnframes())
        samples = np.frombuffer(data, "<i2").astype(np.float32) / 32768
        return spoken_from(samples, rate_hz, words, times)
