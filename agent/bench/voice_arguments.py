"""Arguments of ``crosstalk bench voice``. Imports nothing heavy: every start of the command line comes by."""

from __future__ import annotations

import argparse
import re
from typing import Final

from agent.config import VoiceConfig

_SPEC: Final = re.compile(r"(?P<engine>[a-z]+)(:(?P<name>[^@]+))?(@(?P<model>.+))?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--voice", action="append", default=[], type=voice_spec, metavar="ENGINE[:NAME][@MODEL]",
                        help="flite:rms, pico, kokoro:af_heart@kokoro-en, piper@FOLDER; may be repeated")  # fmt: skip
    parser.add_argument("--listener", default="", metavar="NAME", help="a Whisper model that hears them, or a folder")
    parser.add_argument("--word-times", action="store_true",
                        help="instead: errors of word times that are estimated or found in the audio, beside voices "
                             "that know theirs, and the lag of our ears")  # fmt: skip
    parser.add_argument("--program", default="piper", help="the program of piper")


def voice_spec(text: str) -> VoiceConfig:
    """``kokoro:af_heart@kokoro-en``"""
    found = _SPEC.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form ENGINE[:NAME][@MODEL]")
    return VoiceConfig(engine=found["engine"], name=found["name"] or "", model=found["model"] or "")
