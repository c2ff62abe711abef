"""A synthesiser that is another program, because of its licence or its crashes: lines in, samples out."""

from __future__ import annotations

import atexit
import contextlib
import json
import subprocess
from collections.abc import Sequence
from typing import IO, Any

from agent.errors import VoiceFailed

LIFE_REQUESTS = 20_000
"""After so many utterances the program is started anew: some of them leak."""


class Program:
    """A child process that answers one JSON line with one JSON line and ``size`` bytes behind it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._child: subprocess.Popen[bytes] | None = None
        self._asked = 0
        atexit.register(self.close)

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Send one request. Raises ``VoiceFailed`` when the program is absent, dies or refuses."""
        out, back = self._pipes()
        try:
            out.write(json.dumps(request).encode() + b"\n")
            out.flush()
            line = back.readline()
            answer = json.loads(line) if line else {"error": "it ended"}
            body = back.read(int(answer.get("size", 0)))
        except BrokenPipeError:
            answer, body = {"error": "it ended"}, b""
        except (OSError, ValueError) as broken:
            self.close()
            raise VoiceFailed(f"{self._command[0]} failed: {broken}") from None
        if "error" in answer or len(body) != answer.get("size", 0):
            self.close()
            raise VoiceFailed(f"{' '.join(self._command)}: {answer.get('error', 'cut short')}")
        return answer, body

    def close(self) -> None:
        """End the program; the next request starts it again."""
        child, self._child = self._child, None
        if child is None:
            return
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it no longer read
                    pipe.close()
        try:
            child.wait(timeout=2)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        self._asked += 1
        if self._asked > LIFE_REQUESTS:
            self._asked = 1
            self.close()
        if self._child is None:
            try:
                self._child = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            except OSError as absent:
                raise VoiceFailed(f"{self._command[0]} cannot be started: {absent}") from None
        child = self._child
        if child.stdin is None or child.stdout is None:
            raise VoiceFailed(f"{self._command[0]} has no pipes")
        return child.stdin, child.stdout
