"""How far a training is: by its steps, or by the clock. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """From nothing done (0) to all (1)."""

    steps: int = 0
    """In all; unless ``until`` is set."""
    until: float = 0.0
    """Unix time of the end; 0: by steps."""
    began: float = 0.0
    """Unix time of the first run's start: a run that goes on has not begun anew."""

    def done(self, step: int, now: float) -> float:
        """Share that is over before step ``step``, at ``now``."""
        if not self.until:
            return min(1.0, step / max(1, self.steps))
        return min(1.0, max(0.0, now - self.began) / max(1.0, self.until - self.began))
