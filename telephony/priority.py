"""A better, or a worse, place among the processes of a machine."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

AUTOGROUP = Path("/proc/self/autogroup")


def set_nice(nice: int) -> None:
    """Ask for it; who may not stays where it is. Positive values give way, negative ones go first."""
    with contextlib.suppress(OSError):
        os.nice(nice)
    set_group_nice(nice)


def set_group_nice(nice: int) -> None:
    """The same for the group of our session.

    Where Linux groups processes by session (``kernel.sched_autogroup_enabled``), a nice value counts inside a session
    only, and each process of a service has its own: the group needs the value too, or nothing comes of it.
    """
    with contextlib.suppress(OSError):  # no such file: no groups
        AUTOGROUP.write_text(str(nice))
