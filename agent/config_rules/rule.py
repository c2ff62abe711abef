"""What a rule of one value is, and the rules that fit many keys.

A reason never repeats the value of a secret.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Rule = Callable[[object], str | None]
"""Value to the reason why it cannot be used, or ``None``."""


def between(low: float, high: float = math.inf) -> Rule:
    """Numbers from ``low`` to ``high``, both included."""
    wanted = f"must be {low:g} or more" if high == math.inf else f"must lie in {low:g} to {high:g}"

    def rule(value: object) -> str | None:
        fits = isinstance(value, int | float) and low <= value <= high
        return None if fits else f"{wanted}, not {value}"

    return rule


def above(low: float, high: float = math.inf) -> Rule:
    """Numbers greater than ``low`` and at most ``high``."""
    wanted = f"must be more than {low:g}" + ("" if high == math.inf else f" and at most {high:g}")

    def rule(value: object) -> str | None:
        fits = isinstance(value, int | float) and low < value <= high and value != math.inf
        return None if fits else f"{wanted}, not {value}"

    return rule


def one_of(*names: str) -> Rule:
    return lambda value: None if value in names else f"must be one of {', '.join(names)}, not {value!r}"


def not_empty(value: object) -> str | None:
    return None if value else "must not be empty"


PORT = between(0, 65535)
SCORE = between(0, 1)
ONE_OR_MORE = between(1)
POSITIVE = above(0)
NOT_NEGATIVE = between(0)
