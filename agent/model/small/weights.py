"""The net's file: the one that ships, or an operator's own; checked against its sum where there is one."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Final

from agent.errors import ModelError

NAME: Final = "floor.onnx"
SUMS: Final = "SHA256SUMS"
"""Beside the weights, as ``sha256sum`` writes it."""


def located(named: str) -> Path:
    """The net's file: ``named`` is a file, a folder that holds it, or empty for the one that ships.

    Raises ``ModelError`` where it is not there, or is another file than its sum says.
    """
    path = Path(named) if named else Path(str(files("agent.model.small").joinpath("weights")))
    if path.is_dir():
        path = path / NAME
    if not path.is_file():
        raise ModelError(f"{path}: there are no weights" + ("" if named else " in this build"))
    _check(path)
    return path


def _check(path: Path) -> None:
    sums = path.parent / SUMS
    if not sums.is_file():
        return
    lines = [line.split(maxsplit=1) for line in sums.read_text("utf-8").splitlines() if line.strip()]
    wanted = {name.strip().lstrip("*"): value for value, name in lines}.get(path.name)
    found = sha256(path.read_bytes()).hexdigest()
    if wanted is not None and wanted != found:
        raise ModelError(f"{path}: sha256 is {found}, {SUMS} says {wanted}")
