"""The document is whole, and what is in the repository is what is served."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.api.openapi import DOCUMENT, PAGE, document, text
from agent.api.rest_docs import page
from agent.api.route import Route
from agent.api.routes import ROUTES
from agent.api.shapes import SHAPES

ROOT = Path(__file__).parents[4]


def test_document_and_page_in_the_repository_are_fresh() -> None:
    advice = "run: python -m agent.api.openapi"
    assert (ROOT / DOCUMENT).read_text(encoding="utf-8") == text(), advice
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(document()), advice


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_route_declares_every_parameter_of_its_path(route: Route) -> None:
    asked = set(re.findall(r"{(\w+)}", route.path))
    assert asked == {param.name for param in route.params if param.where == "path"}
    assert route.replies
    assert all(reply.shape in SHAPES for reply in route.replies if reply.shape)
    assert not route.body or route.body in SHAPES


def test_operations_are_named_once() -> None:
    names = [route.name for route in ROUTES]
    assert len(names) == len(set(names))


def test_every_shape_is_used() -> None:
    whole = text() + "".join(f"#/components/schemas/{name}" for name in ("Problem",))
    assert [name for name in SHAPES if f'"#/components/schemas/{name}"' not in whole and name != "Problem"] == []
