"""Arrays with the row first that are reset, saved and loaded together."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from agent.errors import ModelError

Saved = dict[str, NDArray[Any]]


class RowState:
    """State of ``rows`` rows as named columns; a subclass makes its arrays with ``_column``."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._columns: dict[str, tuple[NDArray[Any], float]] = {}

    def _column(self, name: str, dtype: DTypeLike, initial: float = 0, shape: tuple[int, ...] = ()) -> NDArray[Any]:
        array = np.full((self.rows, *shape), initial, dtype)
        self._columns[name] = (array, initial)
        return array

    def reset(self, rows: NDArray[np.intp]) -> None:
        """Let ``rows`` (indices) forget everything."""
        for array, initial in self._columns.values():
            array[rows] = initial

    def save(self, row: int) -> Saved:
        return {name: array[row].copy() for name, (array, _) in self._columns.items()}

    def load(self, row: int, saved: Saved) -> None:
        """Inverse of ``save``. Raises ``ModelError`` where a column is missing or of another shape."""
        for name, (array, _) in self._columns.items():
            value = saved.get(name)
            if value is None or value.shape != array.shape[1:]:
                raise ModelError(f"snapshot: column {name} is missing or of another shape")
        for name, (array, _) in self._columns.items():
            array[row] = saved[name]


def pack(version: bytes, saved: Saved) -> bytes:
    """``version`` and the arrays as bytes (numpy's own format, nothing executable)."""
    buffer = BytesIO()
    np.savez(buffer, **saved)  # type: ignore[arg-type]  # the stub takes the names for its options
    return version + buffer.getvalue()


def unpack(version: bytes, blob: bytes) -> Saved:
    """Inverse of ``pack``. Raises ``ModelError`` on another version or damaged bytes."""
    if not blob.startswith(version):
        raise ModelError(f"snapshot: begins with {blob[: len(version)]!r}, expected {version!r}")
    try:
        with np.load(BytesIO(blob[len(version) :]), allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except Exception as error:  # zip, header and value errors of many kinds: all mean damaged bytes
        raise ModelError(f"snapshot: damaged ({error})") from error
