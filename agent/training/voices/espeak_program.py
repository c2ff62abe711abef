"""espeak-ng in a process of its own (GPL-3: never loaded into the product's).

One JSON line in: ``{"text", "voice", "rate", "pitch", "range"}``. Out: ``{"size", "rate_hz", "words_ms"}`` and 16-bit
samples. espeak-ng 1.51, ``speak_lib.h``.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any, ClassVar

SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS
EVENT_END, EVENT_WORD = 0, 1
RATE, PITCH, RANGE = 1, 3, 4
UTF8 = 1


class _Event(ctypes.Structure):
    _fields_: ClassVar = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Speaker:
    """The library and what it has said so far."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL("libespeak-ng.so.1")
        self.rate_hz = int(self._lib.espeak_Initialize(SYNCHRONOUS, 0, None, 0))
        if self.rate_hz <= 0:
            raise OSError("espeak-ng could not be initialised")
        self._samples = bytearray()
        self._starts: list[int] = []
        self._callback = _Callback(self._take)
        self._lib.espeak_SetSynthCallback(self._callback)

    def say(self, request: dict[str, Any]) -> tuple[list[int], bytes]:
        """Starts of the words in ms, and samples."""
        self._samples, self._starts = bytearray(), []
        if self._lib.espeak_SetVoiceByName(str(request["voice"]).encode()):
            raise OSError(f"no voice {request['voice']!r}")
        for parameter, name in ((RATE, "rate"), (PITCH, "pitch"), (RANGE, "range")):
            self._lib.espeak_SetParameter(parameter, int(request[name]), 0)
        text = str(request["text"]).encode()
        self._lib.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, UTF8, None, None)
        return self._starts, bytes(self._samples)

    def _take(self, wav: Any, count: int, events: Any) -> int:
        if wav and count > 0:
            self._samples += ctypes.string_at(wav, 2 * count)
        index = 0
        while events[index].type != EVENT_END:
            if events[index].type == EVENT_WORD:
                self._starts.append(int(events[index].audio_position))
            index += 1
        return 0


def main() -> None:
    out = sys.stdout.buffer
    try:
        speaker = Speaker()
    except OSError as absent:
        out.write(json.dumps({"error": str(absent)}).encode() + b"\n")
        return
    for line in sys.stdin.buffer:
        try:
            starts, samples = speaker.say(json.loads(line))
            answer: dict[str, Any] = {"size": len(samples), "rate_hz": speaker.rate_hz, "words_ms": starts}
        except (OSError, KeyError, ValueError) as wrong:
            answer, samples = {"error": str(wrong)}, b""
        out.write(json.dumps(answer).encode() + b"\n" + samples)
        out.flush()


if __name__ == "__main__":
    main()
