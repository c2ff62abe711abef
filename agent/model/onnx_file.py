"""What an ONNX file says of itself, without loading it: a walk over its outermost fields. Pure but for reading.

Some libraries end the whole process when a model lacks what they look for; this finds it first, in microseconds.
Form: protocol buffers, ``ModelProto`` of onnx.proto: ``graph`` = 7, ``metadata_props`` = 14 (key = 1, value = 2).
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Final

from agent.errors import ModelError

GRAPH: Final = 7
METADATA: Final = 14
_SKIPPED: Final = {1: 8, 5: 4}
"""Wire types of fixed size."""
_MOST_TEXT: Final = 1 << 20


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a whole model. Raises ``ModelError``: not there, truncated, or no ONNX file."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _walk(path, file, size)
    except OSError as wrong:
        raise ModelError(f"{path} cannot be read: {wrong.strerror}") from None


def _walk(path: Path, file: IO[bytes], size: int) -> dict[str, str]:
    found: dict[str, str] = {}
    graph = False
    while file.tell() < size:
        try:
            key = _number(file)
            field, wire = key >> 3, key & 7
            if field == 0:
                raise ValueError("there is no field 0")
            if wire == 0:
                _number(file)
                continue
            length = _number(file) if wire == 2 else _SKIPPED[wire]
        except (KeyError, ValueError):
            raise ModelError(f"{path} is no ONNX model, or is damaged") from None
        if file.tell() + length > size:
            known = "is truncated" if graph or field in (GRAPH, METADATA) else "is no ONNX model, or is truncated"
            raise ModelError(f"{path} {known}: it has {size} bytes and needs {file.tell() + length}")
        graph = graph or field == GRAPH
        if field == METADATA and wire == 2 and length <= _MOST_TEXT:
            name, value = _pair(file.read(length))
            found[name] = value
        else:
            file.seek(length, 1)
    if not graph:
        raise ModelError(f"{path} is no ONNX model, or is truncated: it holds no graph")
    return found


def _number(file: IO[bytes]) -> int:
    """A varint. Raises ``ValueError`` where it does not end."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number that does not end")


def _pair(data: bytes) -> tuple[str, str]:
    """Key and value of one ``StringStringEntryProto``."""
    texts = {1: "", 2: ""}
    at = 0
    while at + 1 < len(data):
        field, length = data[at] >> 3, 0
        at, shift = at + 1, 0
        while at < len(data):
            length |= (data[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 0x80:
                break
        texts[field] = data[at : at + length].decode(errors="replace")
        at += length
    return texts[1], texts[2]
