"""Messages of the Model Context Protocol (revision 2025-06-18, JSON-RPC 2.0): what a client of tools needs. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from agent import VERSION
from agent.brain.tool_specs import NAME, ToolSpec

PROTOCOL: Final = "2025-06-18"
KEY_META: Final = "io.github.crosstalk/idempotency-key"
MOST_TOOLS: Final = 200
METHOD_NOT_FOUND: Final = -32601
_ODD: Final = re.compile(r"[^A-Za-z0-9_-]")


class McpError(Exception):
    """A server did not do what it was asked."""

    def __init__(self, reason: str, *, may_not_have_run: bool = False, session_is_gone: bool = False) -> None:
        super().__init__(reason)
        self.may_not_have_run = may_not_have_run
        """The connection failed: whether the tool ran is not known."""
        self.session_is_gone = session_is_gone
        """The server has forgotten us, and has done nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTool:
    """One tool of a server."""

    name: str
    """The server's."""
    spec: ToolSpec
    """As the model is told of it: with a name that chat endpoints take."""
    is_repeatable: bool
    """It says of itself that asking twice does no harm."""


def request(number: int, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": number, "method": method}
    return message if params is None else {**message, "params": params}


def notification(method: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method}


def initialize_params() -> dict[str, Any]:
    return {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": {"name": "crosstalk", "version": VERSION}}


def call_params(name: str, arguments: dict[str, Any], key: str) -> dict[str, Any]:
    return {"name": name, "arguments": arguments, "_meta": {KEY_META: key}}


def decode(text: str | bytes) -> dict[str, Any]:
    """One message. Raises ``McpError``."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise McpError("not valid JSON") from None
    if not isinstance(document, dict):
        raise McpError("not a JSON object")
    return document


def result_of(message: dict[str, Any]) -> dict[str, Any]:
    """Result of a response. Raises ``McpError`` with the server's reason."""
    error = message.get("error")
    if error is not None:
        text = error.get("message") if isinstance(error, dict) else error
        raise McpError(str(text)[:300])
    result = message.get("result")
    if not isinstance(result, dict):
        raise McpError("a response without a result")
    return result


def reply_to(message: dict[str, Any]) -> dict[str, Any] | None:
    """What a request of the server gets; ``None`` where ``message`` is none."""
    if "method" not in message or "id" not in message:
        return None
    reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] == "ping":
        return {**reply, "result": {}}
    return {**reply, "error": {"code": METHOD_NOT_FOUND, "message": "not offered"}}


def read_tools(result: dict[str, Any], allowed: tuple[str, ...]) -> list[McpTool]:
    """Tools of one page that are allowed; entries of odd shapes are left out."""
    found = []
    for entry in _list(result, "tools"):
        if not isinstance(entry, dict) or not isinstance(name := entry.get("name"), str):
            continue
        if name not in allowed and "*" not in allowed:
            continue
        shown = _ODD.sub("_", name)[:64]
        if NAME.fullmatch(shown):
            found.append(_tool(name, shown, entry))
    return found


def _tool(name: str, shown: str, entry: dict[str, Any]) -> McpTool:
    schema, hints = entry.get("inputSchema"), entry.get("annotations")
    hints = hints if isinstance(hints, dict) else {}
    parameters = schema if isinstance(schema, dict) and schema.get("type") == "object" else {"type": "object"}
    return McpTool(
        name=name,
        spec=ToolSpec(name=shown, description=str(entry.get("description") or "")[:2000], parameters=parameters),
        is_repeatable=hints.get("readOnlyHint") is True or hints.get("idempotentHint") is True,
    )


def value_of(result: dict[str, Any]) -> Any:
    """What a tool gave: its structured content, or its texts. Raises ``McpError`` with the text of an error."""
    parts = [part for part in _list(result, "content") if isinstance(part, dict)]
    texts = [str(part.get("text", "")) if part.get("type") == "text" else f"[{part.get('type')}]" for part in parts]
    text = "\n".join(texts)
    if result.get("isError") is True:
        raise McpError(text or "the tool failed")
    structured = result.get("structuredContent")
    return structured if structured is not None else text


def _list(result: dict[str, Any], name: str) -> list[Any]:
    found = result.get(name)
    return found if isinstance(found, list) else []
