"""The net's file: the one that ships, or an operator's own; checked against its sum where there is one.

Another net is as sure of itself as it is: the rules that were chosen for it lie beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Final

from agent.errors import ModelError
from agent.model.small.rules import ENDS, Answer, EndRule

NAME: Final = "floor.onnx"
SUMS: Final = "SHA256SUMS"
"""Beside the weights, as ``sha256sum`` writes it."""
RULES: Final = "rules.json"
"""``{"OPEN": {"threshold": 0.5, "agree_ms": 320, "why": "…"}, …}``; an answer that is not named keeps our own rule."""


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


def rules_of(weights: Path) -> Mapping[Answer, EndRule]:
    """How turns end by this net. Raises ``ModelError`` naming what is wrong in its rules."""
    path = weights.parent / RULES
    if not path.is_file():
        return ENDS
    try:
        told = json.loads(path.read_text("utf-8"))
        found = {Answer[name]: EndRule(**rule) for name, rule in told.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise ModelError(f"{path}: {type(wrong).__name__}: {wrong}") from None
    for answer, rule in found.items():
        if not (0 < rule.threshold < 1 and 40 <= rule.agree_ms <= 2000):
            raise ModelError(f"{path}: {answer.name}: needs 0 < threshold < 1 and 40 <= agree_ms <= 2000")
    return {**ENDS, **found}
