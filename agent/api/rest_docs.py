"""``docs/reference/rest.md`` from the OpenAPI document. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

HEAD = """# REST

Written by `python -m agent.api.openapi` from the same table that checks requests; a test holds it to the code. The
document itself: [openapi.json](openapi.json), served at `/v1/openapi.json`. How to use it: [REST](../howto/rest.md).

Every error is `application/problem+json`: `{"type", "status", "title", "detail"}`, with `problems` (a list of places
and reasons) where a request is not as described. All routes can answer 400, 401, 403, 429, 500 and 503; those with a
body 413 and 415 as well. Unknown paths are 404, unknown methods 405.
"""

_COMMON = {"400", "401", "403", "413", "415", "429", "500", "503"}


def page(document: dict[str, Any]) -> str:
    """The page, as Markdown."""
    shapes = document["components"]["schemas"]
    lines = [HEAD]
    tag = ""
    for path, method, operation in _operations(document):
        if operation["tags"][0] != tag:
            tag = operation["tags"][0]
            lines.append(f"## {tag.capitalize()}\n")
        lines += _operation(path, method, operation)
    lines.append("## Shapes\n")
    for name, schema in shapes.items():
        lines += _shape(name, schema)
    return "\n".join(lines)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    found = [
        (path, method.upper(), operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    order = list(dict.fromkeys(operation["tags"][0] for _, _, operation in found))
    yield from sorted(found, key=lambda one: order.index(one[2]["tags"][0]))


def _operation(path: str, method: str, operation: dict[str, Any]) -> list[str]:
    lines = [f"### `{method} {path}`\n", f"{operation['summary']}. {operation['description']}\n"]
    rows = [
        f"| `{param['name']}` | {param['in']} | {_kind(param['schema'])} | {_cell(param['description'])} |"
        for param in operation.get("parameters", ())
    ]
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        rows.append(f"| body | JSON | {_kind(schema)} | {'' if operation['requestBody']['required'] else 'optional'} |")
    if rows:
        lines += ["| takes | in | type | |", "|---|---|---|---|", *rows, ""]
    lines += ["| answers | type | |", "|---|---|---|"]
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        is_problem = "application/problem+json" in content
        if is_problem and status in _COMMON and status not in ("403", "429", "503"):
            continue
        kind = "problem" if is_problem else ", ".join(_content(name, one) for name, one in content.items())
        lines.append(f"| {status} | {kind or '–'} | {_cell(answer['description'])} |")
    return [*lines, ""]


def _content(name: str, content: dict[str, Any]) -> str:
    return _kind(content["schema"]) if "schema" in content else f"`{name}`"


def _shape(name: str, schema: dict[str, Any]) -> list[str]:
    required = set(schema.get("required", ()))
    lines = [f"### {name}\n"]
    if "description" in schema:
        lines.append(schema["description"] + ".\n")
    if schema.get("properties"):
        lines += ["| member | type | |", "|---|---|---|"]
        lines += [
            f"| `{member}`{'' if member in required else ' (optional)'} | {_kind(one)} | "
            f"{_cell(one.get('description', ''))} |"
            for member, one in schema["properties"].items()
        ]
        lines.append("")
    return lines


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{str(schema['const']).lower()}`"
    if "enum" in schema:
        return " ".join(f"`{value}`" for value in schema["enum"] if value != "")
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_kind(schema['items'])}"
    text = " or ".join(kind) if isinstance(kind, list) else str(kind)
    limits = [f"{schema[key]} {word}" for key, word in _LIMITS if key in schema]
    if "pattern" in schema:
        limits.append(f"`{schema['pattern']}`".replace("|", "\\|"))
    if "default" in schema:
        limits.append(f"default {str(schema['default']).lower()}")
    return f"{text} ({', '.join(limits)})" if limits else text


_LIMITS = (
    ("minimum", "or more"),
    ("maximum", "at most"),
    ("minLength", "characters or more"),
    ("maxLength", "characters at most"),
    ("minItems", "items or more"),
    ("maxItems", "items at most"),
    ("maxProperties", "members at most"),
)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
