"""Fill the configuration: TOML file < ``CROSSTALK_SECTION__KEY`` < flags. The only module that reads the environment.

Anything unknown, of a wrong type or out of range is a ``ConfigError`` that names every problem found, each with its
dotted path, its reason and where the value came from. Values of secrets are never repeated.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.config import Config
from agent.config_rules.problems import problems
from agent.config_schema import KEYS, SECTIONS, TABLE_KEYS, TABLES, build, convert, convert_text, describe
from agent.errors import ConfigError

ENV_PREFIX = "CROSSTALK_"
CONFIG_VARIABLE = "CROSSTALK_CONFIG"
"""Names the file where no ``--config`` is given."""
HIDDEN = "********"
MOST_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """A configuration and where each value came from."""

    config: Config
    sources: Mapping[str, str]
    """Dotted key to ``default``, ``FILE:LINE``, ``env NAME`` or ``flag``."""


@dataclass(slots=True)
class _Layers:
    """Values as they pile up, later ones over earlier ones."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    errors: list[tuple[str, str]] = field(default_factory=list)

    def put(self, path: str, value: Any, source: str) -> None:
        self.values[path] = value
        self.sources[path] = source

    def fail(self, path: str, reason: str, source: str) -> None:
        self.errors.append((path, f"{reason} ({source})"))


def process_environment() -> Mapping[str, str]:
    """The environment of this process, for ``load_config``."""
    return dict(os.environ)


def load_config(path: Path | None, env: Mapping[str, str], flags: Mapping[str, object]) -> LoadedConfig:
    """Configuration from an optional file, an environment and flags (``{"sip.port": 5070}``; ``None`` = not given).

    Raises ``ConfigError`` that names all problems.
    """
    layers = _Layers()
    if path is None and env.get(CONFIG_VARIABLE):
        path = Path(env[CONFIG_VARIABLE])
    if path is not None:
        _read_file(layers, path)
    _read_environment(layers, env)
    _read_flags(layers, flags)
    _raise_all(layers.errors)
    config: Config = build(Config, layers.values)
    sources = {key: layers.sources.get(key, "default") for key in KEYS}
    _raise_all([(key, _with_source(key, reason, sources)) for key, reason in problems(config)])
    return LoadedConfig(config=config, sources=sources)


def _raise_all(errors: list[tuple[str, str]]) -> None:
    if errors:
        (path, reason), *more = errors
        raise ConfigError(path, "\n".join([reason, *(f"{other}: {why}" for other, why in more)]))


def _with_source(key: str, reason: str, sources: Mapping[str, str]) -> str:
    return f"{reason} ({sources.get(key.partition('[')[0], 'default')})"


# --- file ---------------------------------------------------------------------------------------------------------


def _read_file(layers: _Layers, path: Path) -> None:
    try:
        raw = path.read_bytes()
        if len(raw) > MOST_FILE_BYTES:
            raise ConfigError(str(path), "is larger than 1 MiB")
        text = raw.decode()
        document = tomllib.loads(text)
    except OSError as wrong:
        raise ConfigError(str(path), f"cannot be read: {wrong.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), "is not UTF-8") from None
    except tomllib.TOMLDecodeError as wrong:
        raise ConfigError(str(path), f"is not valid TOML: {wrong}") from None
    lines = _lines_of(text)
    _walk(layers, document, "", lambda key: f"{path}:{lines[key]}" if key in lines else str(path))


def _walk(layers: _Layers, table: Mapping[str, Any], prefix: str, source_of: Any) -> None:
    for name, value in table.items():
        path = f"{prefix}.{name}" if prefix else name
        source = source_of(path)
        if path in TABLES:
            _put_tables(layers, path, value, source)
        elif path in SECTIONS:
            if isinstance(value, dict):
                _walk(layers, value, path, source_of)
            else:
                layers.fail(path, "must be a table", source)
        elif path not in KEYS:
            layers.fail(path, _unknown(path), source)
        else:
            _put(layers, path, value, source)


def _put(layers: _Layers, path: str, value: object, source: str) -> None:
    try:
        layers.put(path, convert(KEYS[path].type, value), source)
    except ValueError as wrong:
        layers.fail(path, str(wrong), source)


def _unknown(path: str) -> str:
    section = path.rpartition(".")[0]
    while section and section not in SECTIONS:
        section = section.rpartition(".")[0]
    depth = len(section) + 1 if section else 0
    known = sorted({key[depth:].split(".")[0] for key in KEYS if not section or key.startswith(section + ".")})
    return f"unknown key; known here: {', '.join(known)}"


_HEADER = re.compile(r"\s*\[{1,2}\s*([\w.\s-]+?)\s*\]{1,2}\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(r"\s*([\w.-]+(?:\s*\.\s*[\w-]+)*)\s*=")


def _lines_of(text: str) -> dict[str, int]:
    """Dotted key to the line that sets it: for messages only, so quoted keys may be missed."""
    section = ""
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            section = header[1].replace(" ", "")
            lines.setdefault(section, number)
        elif assignment := _ASSIGNMENT.match(line):
            key = assignment[1].replace(" ", "")
            lines.setdefault(f"{section}.{key}" if section else key, number)
    return lines


# --- lists of tables ----------------------------------------------------------------------------------------------


def _put_tables(layers: _Layers, path: str, value: object, source: str) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(item, dict) for item in value):
        layers.fail(path, f"must be a list of tables ([[{path}]])", source)
        return
    before = len(layers.errors)
    built = [_table(layers, path, index, item, source) for index, item in enumerate(value)]
    if len(layers.errors) == before:
        layers.put(path, tuple(built), source)


def _table(layers: _Layers, where: str, index: int, table: Mapping[str, Any], source: str) -> Any:
    path, before, keys = f"{where}[{index}]", len(layers.errors), TABLE_KEYS[where]
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in keys:
            layers.fail(f"{path}.{name}", f"unknown key; known here: {', '.join(sorted(keys))}", source)
            continue
        try:
            values[name] = convert(keys[name].type, value)
        except ValueError as wrong:
            layers.fail(f"{path}.{name}", str(wrong), source)
    for name, key in keys.items():
        if key.default is MISSING and name not in table:
            layers.fail(f"{path}.{name}", "is missing", source)
    return TABLES[where](**values) if len(layers.errors) == before else None


# --- environment and flags ----------------------------------------------------------------------------------------


def _read_environment(layers: _Layers, env: Mapping[str, str]) -> None:
    for name in sorted(env):
        # Without "__" it is no key of ours: Kubernetes sets CROSSTALK_PORT and friends for a service of that name.
        if not name.startswith(ENV_PREFIX) or "__" not in name:
            continue
        path, source = name.removeprefix(ENV_PREFIX).lower().replace("__", "."), f"env {name}"
        if path in KEYS:
            _put_text(layers, path, env[name], source)
        elif path.endswith("_file") and path.removesuffix("_file") in KEYS:
            _put_secret_file(layers, path.removesuffix("_file"), env[name], source)
        else:
            layers.fail(path, _unknown(path), source)


def _put_text(layers: _Layers, path: str, text: str, source: str) -> None:
    try:
        if path in TABLES:
            _put_tables(layers, path, json.loads(text), source)
        else:
            layers.put(path, convert_text(KEYS[path].type, text), source)
    except json.JSONDecodeError:
        layers.fail(path, "must be a JSON list of objects", source)
    except ValueError as wrong:
        layers.fail(path, str(wrong), source)


def _put_secret_file(layers: _Layers, path: str, name: str, source: str) -> None:
    """``…__SECRET_FILE=/run/secrets/x``: the value is what the file holds (container secrets)."""
    try:
        _put_text(layers, path, Path(name).read_text(encoding="utf-8").strip(), source)
    except (OSError, UnicodeDecodeError) as wrong:
        layers.fail(path, f"its file cannot be read: {wrong}", source)


def _read_flags(layers: _Layers, flags: Mapping[str, object]) -> None:
    for path, value in flags.items():
        if value is None:
            continue
        if path not in KEYS:
            layers.fail(path, _unknown(path), "flag")
        elif isinstance(value, str):
            _put_text(layers, path, value, "flag")
        elif path in TABLES:
            _put_tables(layers, path, value, "flag")
        else:
            _put(layers, path, value, "flag")


# --- showing ------------------------------------------------------------------------------------------------------


def render(loaded: LoadedConfig, *, as_json: bool) -> str:
    """The effective values and their sources, secrets hidden: one line per key, or one JSON object."""
    shown = {path: _shown(path, _value(loaded.config, path)) for path in KEYS}
    if as_json:
        entries = {path: {"value": value, "source": loaded.sources[path]} for path, value in shown.items()}
        return json.dumps(entries, indent=2, ensure_ascii=False)
    cells = {path: json.dumps(value, ensure_ascii=False) for path, value in shown.items()}
    wide = max(len(path) for path in cells)
    return "\n".join(f"{path:<{wide}} = {cell}  # {loaded.sources[path]}" for path, cell in cells.items())


def _value(config: Config, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _shown(path: str, value: Any) -> Any:
    if path in TABLES:
        return [
            {name: _shown_leaf(getattr(table, name), key.secret) for name, key in TABLE_KEYS[path].items()}
            for table in value
        ]
    return _shown_leaf(value, KEYS[path].secret)


def _shown_leaf(value: Any, secret: bool) -> Any:
    if secret:
        return _hide(value)
    return without_password(value) if isinstance(value, str) and "://" in value else value


def _hide(value: object) -> str:
    return HIDDEN if value else ""


def without_password(url: str) -> str:
    """``url`` with the password of its user part hidden."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username or ''}:{HIDDEN}@{host}").geturl()


def type_text(path: str) -> str:
    """What must be written for a key, in words."""
    return "a list of tables" if path in TABLES else describe(KEYS[path].type)
