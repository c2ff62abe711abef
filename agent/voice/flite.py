"""flite by ctypes, where the host has ``libflite1``: streams 20 ms pieces, word times known before the first sample.

Struct layouts and names: flite 2.2, ``include/cst_audio.h``, ``cst_wave.h``, ``cst_voice.h``.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_float, c_int, c_short, c_void_p
from typing import Any, ClassVar, Final

import numpy as np

from agent.errors import VoiceFailed
from agent.voice.engine import ClauseJob, Emit, Times, spread
from agent.voice.shape import RATE_HZ, Cutter, Floats, Halver

NAMES: Final = ("rms", "slt", "awb", "kal", "kal16")
"""``rms`` is understood best on a telephone of those that sound human; ``kal`` is cheapest."""
BASE_LIBRARIES: Final = ("libflite.so.1", "libflite_usenglish.so.1", "libflite_cmulex.so.1")
PIECE_MS: Final = 20
STREAM_GO, STREAM_STOP = 0, -1  # CST_AUDIO_STREAM_CONT, CST_AUDIO_STREAM_STOP
LEAD_S, TAIL_S = 0.015, 0.04
"""Kept around the words; flite puts 150 ms of silence in front, which would be pure delay."""
GAIN: Final = {"rms": 1.08, "slt": 0.75, "awb": 0.82, "kal": 0.69, "kal16": 1.54}
"""Puts the usual peak of a clause near -6 dBFS (measured over the sentences of the test)."""


class _Wave(Structure):
    _fields_: ClassVar = [
        ("type", c_char_p),
        ("sample_rate", c_int),
        ("num_samples", c_int),
        ("num_channels", c_int),
        ("samples", POINTER(c_short)),
    ]


class _Voice(Structure):
    _fields_: ClassVar = [("name", c_char_p), ("features", c_void_p)]


class _StreamInfo(Structure):
    pass


_Callback = CFUNCTYPE(c_int, POINTER(_Wave), c_int, c_int, c_int, POINTER(_StreamInfo))
_StreamInfo._fields_ = [
    ("min_buffsize", c_int),
    ("asc", _Callback),
    ("utt", c_void_p),
    ("item", c_void_p),
    ("userdata", c_void_p),
]


def missing(name: str) -> str | None:
    """Why voice ``name`` cannot be had on this host, or ``None``."""
    try:
        _load(name)
    except OSError as absent:
        return str(absent)
    return None


def _load(name: str) -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """The engine's and the voice's library; both need the others' symbols to be global. Raises ``OSError``."""
    base = [ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL) for library in BASE_LIBRARIES]
    return base[0], ctypes.CDLL(f"libflite_cmu_us_{name}.so.1", mode=ctypes.RTLD_GLOBAL)


def _function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    """A C function with its types: ctypes' default result would cut pointers to 32 bits."""
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


class _Library:
    """The few functions that we call."""

    def __init__(self, name: str) -> None:
        flite, voice = _load(name)
        _function(flite, "flite_init", c_int)()
        self.register = _function(voice, f"register_cmu_us_{name}", POINTER(_Voice), c_char_p)
        self.new_stream = _function(flite, "new_audio_streaming_info", POINTER(_StreamInfo))
        self.stream_value = _function(flite, "audio_streaming_info_val", c_void_p, POINTER(_StreamInfo))
        self.feat_set = _function(flite, "feat_set", None, c_void_p, c_char_p, c_void_p)
        self.synth_text = _function(flite, "flite_synth_text", c_void_p, c_char_p, POINTER(_Voice))
        self.delete_utterance = _function(flite, "delete_utterance", None, c_void_p)
        self.relation = _function(flite, "utt_relation", c_void_p, c_void_p, c_char_p)
        self.head = _function(flite, "relation_head", c_void_p, c_void_p)
        self.next = _function(flite, "item_next", c_void_p, c_void_p)
        self.feature = _function(flite, "flite_ffeature_float", c_float, c_void_p, c_char_p)


_FIRST_SEGMENT: Final = b"daughter1.R:SylStructure.daughter1.daughter1.R:Segment.p.end"
_LAST_SEGMENT: Final = b"daughtern.R:SylStructure.daughtern.daughtern.R:Segment.end"


class FliteEngine:
    """One flite voice. Not for two threads: flite keeps the state of a synthesis in its voice."""

    exact = True

    def __init__(self, name: str) -> None:
        if name not in NAMES:
            raise VoiceFailed(f"flite has no voice {name!r}; known: {', '.join(NAMES)}")
        try:
            self._flite = _Library(name)
        except OSError as absent:
            raise VoiceFailed(f"flite is not on this host ({absent})") from None
        self._gain = GAIN[name]
        self._voice = self._flite.register(None)
        self._callback = _Callback(self._take)  # must live as long as flite may call it
        stream = self._flite.new_stream()
        stream.contents.asc = self._callback
        self._stream = stream
        self._job: _Synthesis | None = None
        self._flite.feat_set(self._voice.contents.features, b"streaming_info", self._flite.stream_value(stream))
        self._stream.contents.min_buffsize = PIECE_MS * (8 if name == "kal" else 16)

    def say(self, job: ClauseJob, emit: Emit) -> None:
        self._job = current = _Synthesis(self._flite, job, emit, self._gain)
        utterance = self._flite.synth_text(job.text.encode("ascii", "ignore"), self._voice)
        self._job = None
        if utterance:
            self._flite.delete_utterance(utterance)
        if current.error is not None:
            raise current.error
        if not utterance or not current.begun:
            raise VoiceFailed("flite gave no audio")
        current.finish()

    def _take(self, wave: Any, start: int, size: int, last: int, stream: Any) -> int:
        """Called by flite for every piece. An exception must not cross the C code."""
        job = self._job
        if job is None:
            return STREAM_STOP
        try:
            go_on = job.take(wave.contents, start, size, stream.contents.utt)
        except Exception as broken:  # re-raised by ``say`` once flite has returned
            job.error = broken
            return STREAM_STOP
        return STREAM_GO if go_on else STREAM_STOP


class _Synthesis:
    """One clause on its way out of flite."""

    def __init__(self, flite: _Library, job: ClauseJob, emit: Emit, gain: float) -> None:
        self.begun = False
        self.error: Exception | None = None
        self._flite, self._job, self._emit, self._gain = flite, job, emit, gain
        self._halver: Halver | None = None
        self._cutter: Cutter
        self._times: Times | None = None
        self._wanted = True

    def take(self, wave: _Wave, start: int, size: int, utterance: int) -> bool:
        if not self.begun:
            self._begin(wave, utterance)
        if size <= 0:
            return self._wanted
        address = ctypes.addressof(wave.samples.contents) + 2 * start
        block = np.ctypeslib.as_array((c_short * size).from_address(address)).astype(np.float64)
        return self._put(self._halver.push(block) if self._halver else block)

    def finish(self) -> None:
        """Everything came: let out what the filter holds."""
        if self._wanted and self._halver:
            self._put(self._halver.flush())

    def _begin(self, wave: _Wave, utterance: int) -> None:
        self.begun = True
        self._halver = Halver() if wave.sample_rate == 2 * RATE_HZ else None
        seconds = self._spoken_times(utterance)
        if not seconds:
            raise VoiceFailed("flite found no words")
        first = max(0.0, seconds[0][0] - LEAD_S)
        zero = round(first * RATE_HZ)
        spoken = tuple((max(0, round(a * RATE_HZ) - zero), round(b * RATE_HZ) - zero) for a, b in seconds)
        self._times = spread(self._job.words, spoken)
        self._cutter = Cutter(zero, round((seconds[-1][1] + TAIL_S) * RATE_HZ), self._gain)

    def _put(self, block: Floats) -> bool:
        piece = self._cutter.push(block)
        if piece.size and self._wanted:
            self._wanted = self._emit(piece, self._times)
            self._times = None
        return self._wanted

    def _spoken_times(self, utterance: int) -> list[tuple[float, float]]:
        """Start and end in seconds of every token; our tokens hold letters and apostrophes only, so none is lost."""
        flite, times = self._flite, []
        token = flite.head(flite.relation(utterance, b"Token"))
        before = 0.0
        while token:
            end = max(before, float(flite.feature(token, _LAST_SEGMENT)))
            times.append((min(end, max(before, float(flite.feature(token, _FIRST_SEGMENT)))), end))
            before = end
            token = flite.next(token)
        return times
