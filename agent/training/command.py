"""What every ``python -m agent.training…`` does with an error that has a reader."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps

from agent.errors import AgentError

Main = Callable[[Sequence[str]], int]


def command(main: Main) -> Main:
    """``main`` that says an ``AgentError`` in one line on stderr, and ends with 2."""

    @wraps(main)
    def told(argv: Sequence[str]) -> int:
        try:
            return main(argv)
        except AgentError as wrong:
            sys.stderr.write(f"{wrong}\n")
            return 2

    return told
