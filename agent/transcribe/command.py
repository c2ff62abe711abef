"""``crosstalk transcribe``: recordings in, conversations out. Takes what CPU the calls leave."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from agent.files import write_whole
from agent.transcribe.errors import TranscriptFailed
from agent.transcribe.recording import RATE_HZ, read_recording
from agent.transcribe.said import as_text, conversation
from agent.transcribe.whisper import Whisper

SUFFIX: Final = ".transcript.json"
NICENESS: Final = 10
"""A transcript can wait, a call cannot."""


def transcripts(
    recordings: Sequence[Path], model: Path, *, language: str, only: str, threads: int, write: bool
) -> Iterator[dict[str, Any]]:
    """One result per recording. ``only``: one speaker; ``write``: keep it beside the recording too.

    Raises ``TranscriptFailed``.
    """
    for recording in recordings:
        if not recording.is_file():
            raise TranscriptFailed(f"{recording} is not a file")
    os.nice(NICENESS)
    whisper = Whisper(model, threads=threads)
    for recording in recordings:
        result = _transcript(whisper, recording, language=language, only=only) | {"model": model.name}
        if write:
            written = recording.with_name(recording.name + SUFFIX)
            write_whole(written, json.dumps(result, indent=1, ensure_ascii=False).encode())
            result["written"] = str(written)
        yield result


def _transcript(whisper: Whisper, recording: Path, *, language: str, only: str) -> dict[str, Any]:
    sounds = read_recording(recording)
    if only and only not in sounds:
        raise TranscriptFailed(f"{recording} has no channel of the {only}: it has {', '.join(sounds)}")
    begin = time.process_time()
    words = {
        speaker: whisper.words(sound, language or None) for speaker, sound in sounds.items() if only in ("", speaker)
    }
    said = conversation(words)
    return {
        "recording": str(recording),
        "seconds": round(max(sound.size for sound in sounds.values()) / RATE_HZ, 2),
        "cpu_seconds": round(time.process_time() - begin, 2),
        "said": [line.to_json() for line in said],
        "text": as_text(said),
    }
