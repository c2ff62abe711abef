"""An MCP server on standard input and output, as a program: ``echo``, ``fail``, ``die``, ``environment``."""

from __future__ import annotations

import json
import os
import sys

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "fail", "die", "environment")]


def answer(message: dict) -> dict:
    match message["method"]:
        case "initialize":
            return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "t"}}
        case "tools/list":
            return {"tools": TOOLS}
    name, arguments = message["params"]["name"], message["params"]["arguments"]
    if name == "die":
        sys.exit(1)
    if name == "environment":
        return {"content": [{"type": "text", "text": " ".join(sorted(os.environ))}]}
    if name == "fail":
        return {"content": [{"type": "text", "text": "no such parcel"}], "isError": True}
    return {"content": [], "structuredContent": {"arguments": arguments, "meta": message["params"]["_meta"]}}


def send(message: dict) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


sys.stdout.write("a line that is no message\n")
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and "method" in message:
        send({"id": 900, "method": "ping"})
        send({"id": message["id"], "result": answer(message)})
