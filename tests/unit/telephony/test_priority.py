"""A nice value counts for the process and for its session's group."""

from __future__ import annotations

import subprocess
import sys

import pytest

from telephony.priority import AUTOGROUP


def test_the_group_gets_the_value_too() -> None:
    code = "import os; from telephony.priority import *; set_nice(3); print(os.nice(0), AUTOGROUP.read_text())"
    if not AUTOGROUP.exists():
        pytest.skip("this kernel has no groups")
    before = subprocess.run(
        [sys.executable, "-c", "import os; print(os.nice(0))"], capture_output=True, text=True, check=True
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, start_new_session=True
    )
    nice, group = done.stdout.split(maxsplit=1)
    assert int(nice) == min(19, int(before.stdout) + 3)
    assert group.strip().endswith("nice 3")


def test_who_may_not_stays_where_it_is() -> None:
    code = "from telephony.priority import *; os.setuid(65534); set_nice(-25); print(os.nice(0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("only root can give up rights")
    assert int(done.stdout) >= 0
