"""Arguments of ``crosstalk transcribe``."""

from __future__ import annotations

import argparse
from pathlib import Path

from agent.argument_types import count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recordings", nargs="+", type=Path, metavar="RECORDING", help="WAV, caller on the left")
    parser.add_argument("--model", required=True, metavar="NAME", help="a Whisper model by its name, or a folder")
    parser.add_argument("--language", default="", metavar="CODE", help="en, de …; default: heard by the model")
    parser.add_argument("--only", default="", choices=("caller", "agent"), help="one side alone")
    parser.add_argument("--threads", type=count, default=1, help="CPU threads; default: 1, at low priority")
    parser.add_argument("--write", action="store_true", help="keep it as RECORDING.transcript.json")
