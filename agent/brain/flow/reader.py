"""YAML nodes with their lines: every complaint names ``file:line``. Pure: text in, values out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import yaml

from agent.brain.flow.patterns import Pattern, PatternError, parse_pattern
from agent.brain.flow.spec import Lines
from agent.brain.flow.template import Template, TemplateError, parse_template
from agent.errors import DialogueError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the file: where it stands (``intents.hours.say``) and on which line."""

    file: str
    path: str
    raw: yaml.Node
    line: int
    """From 1; for a value below its key, the key's line."""

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"

    def fail(self, reason: str) -> NoReturn:
        """Raise a ``DialogueError`` for this line."""
        raise DialogueError(self.where, f"{self.path}: {reason}" if self.path else reason)

    def child(self, key: str, key_node: yaml.Node, raw: yaml.Node) -> Node:
        return Node(self.file, f"{self.path}.{key}" if self.path else key, raw, _line(key_node))


def read_document(text: str, file: str) -> Node:
    """Root of a YAML text; raises ``DialogueError`` with the line of a syntax error."""
    try:
        raw = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = (error.problem_mark.line + 1) if error.problem_mark else 1
        raise DialogueError(f"{file}:{line}", f"not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise DialogueError(f"{file}:1", f"not YAML: {error}") from None
    if raw is None:
        raise DialogueError(f"{file}:1", "the file is empty")
    return Node(file, "", raw, _line(raw))


def _line(raw: yaml.Node) -> int:
    return int(raw.start_mark.line) + 1


class Section:
    """A mapping whose keys are known beforehand. ``take`` what is there; unknown and doubled keys were refused."""

    def __init__(self, node: Node, known: Collection[str], required: Collection[str] = ()) -> None:
        self.node = node
        self._values = entries(node)
        for key, value in self._values.items():
            if key not in known:
                value.fail(f"unknown key; known here: {', '.join(sorted(known))}")
        for key in required:
            if key not in self._values:
                node.fail(f"'{key}' is missing")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> Node | None:
        return self._values.get(key)

    def take(self, key: str, read: Callable[[Node], T], default: T) -> T:
        node = self._values.get(key)
        return default if node is None else read(node)


def entries(node: Node) -> dict[str, Node]:
    """A mapping with text keys, each key once."""
    if not isinstance(node.raw, yaml.MappingNode):
        node.fail("must be a mapping (key: value)")
    found: dict[str, Node] = {}
    for key_node, value_node in node.raw.value:
        if not isinstance(key_node, yaml.ScalarNode):
            node.fail("keys must be plain words")
        key = str(key_node.value)
        child = node.child(key, key_node, value_node)
        if key in found:
            child.fail("written twice")
        found[key] = child
    return found


def items(node: Node) -> list[Node]:
    """Elements of a list; a single value counts as a list of one."""
    if isinstance(node.raw, yaml.SequenceNode):
        return [Node(node.file, f"{node.path}[{at}]", raw, _line(raw)) for at, raw in enumerate(node.raw.value)]
    return [node]


def text(node: Node) -> str:
    if not isinstance(node.raw, yaml.ScalarNode) or node.raw.tag == "tag:yaml.org,2002:null":
        node.fail("must be a text")
    value = " ".join(str(node.raw.value).split())
    if not value:
        node.fail("must not be empty")
    return value


def texts(node: Node) -> tuple[str, ...]:
    return tuple(text(item) for item in items(node))


def name(node: Node) -> str:
    """A name: lower case letters, digits and underscores."""
    value = text(node)
    check_name(node, value)
    return value


def check_name(node: Node, value: str) -> None:
    if not (value[0].isalpha() and value.replace("_", "a").isalnum() and value == value.lower() and value.isascii()):
        node.fail(f"'{value}' is not a name: use lower case letters, digits and _")


def scalar(node: Node) -> Any:
    """A YAML value: text, number, boolean or null."""
    if not isinstance(node.raw, yaml.ScalarNode):
        node.fail("must be a single value")
    return value_of(node)


def value_of(node: Node) -> Any:
    """Any YAML value as Python data."""
    if isinstance(node.raw, yaml.MappingNode):
        return {key: value_of(value) for key, value in entries(node).items()}
    if isinstance(node.raw, yaml.SequenceNode):
        return [value_of(item) for item in items(node)]
    try:
        return yaml.SafeLoader("").construct_object(node.raw)
    except (yaml.YAMLError, ValueError) as error:
        return node.fail(f"not a value: {error}")


def flag(node: Node) -> bool:
    value = scalar(node)
    if not isinstance(value, bool):
        node.fail("must be true or false")
    return value


def whole(node: Node, *, least: int = 0, most: int = 10_000) -> int:
    value = scalar(node)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        node.fail(f"must be a whole number from {least} to {most}")
    return value


def one_of(node: Node, known: Collection[str]) -> str:
    value = text(node)
    if value not in known:
        node.fail(f"'{value}' is unknown; known: {', '.join(known)}")
    return value


def template(node: Node) -> Template:
    try:
        return parse_template(text(node))
    except TemplateError as error:
        return node.fail(str(error))


def lines(node: Node) -> Lines:
    """One text, or a list of texts said one after the other."""
    return tuple(template(item) for item in items(node))


def pattern(node: Node) -> Pattern:
    try:
        return parse_pattern(text(node))
    except PatternError as error:
        return node.fail(f"pattern '{text(node)}': {error}")
