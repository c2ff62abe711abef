"""Write ``docs/reference/configuration.md`` from the configuration tree: ``python -m agent.config_docs``."""

from __future__ import annotations

import ast
import inspect
import json
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from agent.config import Config
from agent.config_load import type_text
from agent.config_schema import KEYS, TABLE_KEYS, TABLES, describe

HEAD = """# Configuration

One tree. A TOML file is overridden by the environment, the environment by flags. A key that nobody knows, a value of
a wrong type or an impossible combination stops the start and names every such key, the reason and where it was set.
`crosstalk config show` prints the values in force, each with its source; secrets are hidden.

- File: `crosstalk serve --config crosstalk.toml` or `CROSSTALK_CONFIG=crosstalk.toml`.
- Environment: `CROSSTALK_SECTION__KEY` (`sip.port` is `CROSSTALK_SIP__PORT`, `agent.floor.gap_ms` is
  `CROSSTALK_AGENT__FLOOR__GAP_MS`). Lists are separated by commas or written as JSON.
  `…_FILE` names a file that holds the value: `CROSSTALK_WEBHOOKS__SECRET_FILE=/run/secrets/webhooks`.
- Variables without `__` are left alone (Kubernetes sets some of that kind).

This page is written by `python -m agent.config_docs`; a test holds it to the code.
"""


def field_docs(cls: type) -> dict[str, str]:
    """Field name to the text under it, joined into one line."""
    found: dict[str, str] = {}
    body = ast.parse(inspect.getsource(cls)).body[0]
    last = ""
    for node in body.body if isinstance(body, ast.ClassDef) else ():
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            last = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and last:
            found[last] = " ".join(str(node.value.value).split()).replace("``", "`")
    return found


def reference() -> str:
    """The whole page."""
    parts = [HEAD, *_sections(Config, "")]
    return "\n".join(parts)


def _sections(cls: type, prefix: str) -> list[str]:
    hints, docs = get_type_hints(cls), field_docs(cls)
    rows, nested = [], []
    for item in fields(cls):
        path = f"{prefix}.{item.name}" if prefix else item.name
        if is_dataclass(hints[item.name]):
            nested += _sections(hints[item.name], path)
        else:
            rows.append(_row(path, type_text(path), KEYS[path].default, docs.get(item.name, "")))
            if path in TABLES:
                nested += _table_section(path)
    return [*(_table(f"[{prefix}]", rows) if rows else ()), *nested]


def _table_section(path: str) -> list[str]:
    docs = field_docs(TABLES[path])
    keys = TABLE_KEYS[path].values()
    rows = [_row(key.path, describe(key.type), key.default, docs.get(key.path, "")) for key in keys]
    return _table(f"[[{path}]]", rows)


def _table(title: str, rows: list[str]) -> list[str]:
    return [f"## `{title}`\n", "| key | value | default | meaning |", "|---|---|---|---|", *rows, ""]


def _row(path: str, kind: str, default: Any, doc: str) -> str:
    shown = "needed" if default is MISSING else f"`{json.dumps(default, ensure_ascii=False)}`"
    return f"| `{path}` | {kind} | {shown} | {doc.replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    Path("docs/reference/configuration.md").write_text(reference(), encoding="utf-8")
