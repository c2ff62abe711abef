"""A second of noise through a recogniser in a process of its own: some libraries end theirs on a wrong file."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

from agent.errors import ModelError

SECONDS: Final = 1.0
_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from agent.model.parts.trial import main; main(sys.argv[2], sys.argv[3])"
)


def try_engine(engine: str, folder: str, *, timeout_s: float = 60.0) -> None:
    """Raises ``ModelError`` with the last words of a recogniser that does not get through."""
    command = [sys.executable, "-c", _BOOT, json.dumps(sys.path), engine, folder]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise ModelError(f"{engine}: one second of audio takes more than {timeout_s:g} s") from None
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        ended = f"ended by signal {-done.returncode}" if done.returncode < 0 else "failed"
        raise ModelError(f"{engine} {ended} with {folder}: {said[-1] if said else 'it said nothing'}")


def main(engine: str, folder: str) -> None:
    """Entry of the process."""
    import numpy as np

    from agent.expectation import Expect, ExpectKind
    from agent.model.parts.engine import open_engine
    from agent.model.parts.recogniser import Mode

    try:
        stream = open_engine(engine, folder).open(Expect(kind=ExpectKind.DIGITS), Mode.ANSWER)
    except ModelError as wrong:
        sys.exit(str(wrong))
    if stream is not None:
        noise = np.random.default_rng(1).standard_normal(round(8000 * SECONDS)) * 3000
        stream.feed(noise.astype(np.int16))
        stream.finish()
