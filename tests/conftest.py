"""Collecting the tests makes a million objects that live to the end: no garbage is looked for among them."""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """A third of this time went into collections of garbage, and each later one walked what is frozen now."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
