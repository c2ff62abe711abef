"""YAML with line numbers: a thin reader over PyYAML's nodes whose errors say ``file:line``."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from agent.errors import AgentError

SIZE_LIMIT = 256 * 1024


class ScriptError(AgentError):
    """A caller script cannot be used."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


def load_nodes(text: str, where: str) -> Node:
    """The document's top node."""
    if len(text) > SIZE_LIMIT:
        raise ScriptError(where, f"larger than {SIZE_LIMIT} bytes")
    try:
        # SafeLoader's composer makes nodes, no objects; aliases could multiply a small file, so they are refused.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
            raise ScriptError(where, "aliases are not used in scripts")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f"{where}:{mark.line + 1}" if mark is not None else where
        raise ScriptError(at, f"not YAML: {getattr(error, 'problem', None) or error}") from error
    if node is None:
        raise ScriptError(where, "is empty")
    return Node(node, where)


class Node:
    """One YAML node."""

    def __init__(self, node: yaml.Node, where: str) -> None:
        self._node = node
        self._where = where

    @property
    def line(self) -> int:
        return int(self._node.start_mark.line) + 1

    @property
    def is_scalar(self) -> bool:
        return isinstance(self._node, yaml.ScalarNode)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self._node, yaml.MappingNode)

    def error(self, reason: str) -> ScriptError:
        return ScriptError(f"{self._where}:{self.line}", reason)

    def string(self) -> str:
        if not isinstance(self._node, yaml.ScalarNode):
            raise self.error("must be a single value")
        return str(self._node.value)

    def sequence(self) -> list[Node]:
        if not isinstance(self._node, yaml.SequenceNode):
            raise self.error("must be a list")
        return [Node(one, self._where) for one in self._node.value]

    def mapping(self) -> Mapping:
        if not isinstance(self._node, yaml.MappingNode):
            raise self.error("must be a mapping")
        fields: dict[str, Node] = {}
        for key, value in self._node.value:
            name = Node(key, self._where).string()
            if name in fields:
                raise Node(key, self._where).error(f"{name}: given twice")
            fields[name] = Node(value, self._where)
        return Mapping(self, fields)


class Mapping:
    """Fields of a mapping, read with their types and bounds."""

    def __init__(self, node: Node, fields: dict[str, Node]) -> None:
        self._node = node
        self._fields = fields

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    @property
    def line(self) -> int:
        return self._node.line

    def keys(self) -> list[str]:
        return list(self._fields)

    def error(self, reason: str) -> ScriptError:
        return self._node.error(reason)

    def only(self, *known: str) -> None:
        """Any other key is an error."""
        for name, node in self._fields.items():
            if name not in known:
                raise node.error(f"{name}: unknown key; known: {', '.join(sorted(known))}")

    def child(self, name: str) -> Node | None:
        return self._fields.get(name)

    def need(self, name: str) -> Node:
        if name not in self._fields:
            raise self.error(f"{name}: missing")
        return self._fields[name]

    def text(self, name: str, default: str) -> str:
        node = self._fields.get(name)
        return default if node is None else node.string()

    def choice(self, name: str, default: str, known: Sequence[str]) -> str:
        node = self._fields.get(name)
        if node is None:
            return default
        value = node.string()
        # YAML reads a bare off as a boolean; here it is the word.
        value = "off" if value.lower() in ("off", "false") and "off" in known else value
        if value not in known:
            raise node.error(f"{name}: must be one of {', '.join(known)}, not {value!r}")
        return value

    def number(self, name: str, default: float, *, low: float, high: float) -> float:
        node = self._fields.get(name)
        if node is None:
            return default
        try:
            value = float(node.string())
        except ValueError:
            raise node.error(f"{name}: must be a number, not {node.string()!r}") from None
        if not low <= value <= high:
            raise node.error(f"{name}: must lie between {low:g} and {high:g}, not {value:g}")
        return value

    def integer(self, name: str, default: int, *, low: int = 0, high: int = 2**31) -> int:
        value = self.number(name, float(default), low=low, high=high)
        if value != int(value):
            raise self._fields[name].error(f"{name}: must be a whole number, not {value:g}")
        return int(value)

    def flag(self, name: str) -> bool:
        node = self._fields.get(name)
        if node is None:
            return False
        if node.string().lower() not in ("true", "false", "yes", "no"):
            raise node.error(f"{name}: must be true or false")
        return node.string().lower() in ("true", "yes")
