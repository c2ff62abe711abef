"""Programs that peer tests need: skipped with a reason where they are missing, a failure in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def require(name: str) -> str:
    """Path of a program; skips the test without it, and fails it where ``CI=true`` promises that it is there."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is not None:
        return path
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is missing in CI")
    pytest.skip(f"{name} is not installed")
