"""How many objects live, without those of pytest and of all that it imported.

They are about a million, and a collection that walks them takes half a second and more: only what is made from here
on is walked and counted.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def only_new_objects() -> Iterator[None]:
    """Inside, ``objects`` counts what was made since."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def objects() -> int:
    """Objects that still live, those that only point at each other left out."""
    gc.collect()
    return len(gc.get_objects())
