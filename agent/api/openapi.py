"""The OpenAPI 3.1 document, made from the table of routes: ``python -m agent.api.openapi`` writes it and its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent import VERSION
from agent.api.problems import CONTENT_TYPE
from agent.api.rest_docs import page
from agent.api.route import JSON, Param, Reply, Route, ref
from agent.api.routes import ROUTES
from agent.api.shapes import SHAPES

DOCUMENT = Path("docs/reference/openapi.json")
PAGE = Path("docs/reference/rest.md")


def document() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Crosstalk",
            "version": VERSION,
            "description": "Place, watch and steer calls; agents, webhooks, workers.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": SHAPES,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "ct_live_…"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "description": " ".join(filter(None, [route.doc, _needs(route)])),
        "responses": {str(reply.status): _reply(reply) for reply in sorted(route.replies, key=lambda one: one.status)},
    }
    if route.params:
        said["parameters"] = [_param(param) for param in route.params]
    if route.body:
        said["requestBody"] = {"required": not route.body_optional, "content": {JSON: {"schema": ref(route.body)}}}
    for status, doc in route.all_problems.items():
        said["responses"][str(status)] = {"description": doc, "content": {CONTENT_TYPE: {"schema": ref("Problem")}}}
    return said


def _needs(route: Route) -> str:
    scope = f"Scope `{route.scope}`" if route.scope else "Any key"
    return f"{scope}, of the operator (tenant `*`)." if route.operator else f"{scope}."


def _param(param: Param) -> dict[str, Any]:
    schema = dict(param.schema)
    if param.default is not None:
        schema["default"] = param.default
    return {
        "name": param.name,
        "in": param.where,
        "required": param.required,
        "description": param.doc,
        "schema": schema,
    }


def _reply(reply: Reply) -> dict[str, Any]:
    said: dict[str, Any] = {"description": reply.doc}
    if reply.content_type:
        said["content"] = {reply.content_type: {"schema": ref(reply.shape)} if reply.shape else {}}
    if reply.headers:
        said["headers"] = {
            name: {"description": doc, "schema": {"type": "string"}} for name, doc in reply.headers.items()
        }
    return said


def text() -> str:
    """The document as it is in the repository and served."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(text(), encoding="utf-8")
    PAGE.write_text(page(document()), encoding="utf-8")
