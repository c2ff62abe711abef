"""The validator holds values against the schemas that the document shows."""

from __future__ import annotations

from typing import Any

import pytest

from agent.api.schema import from_text, violations
from agent.api.shapes import SHAPES

KNOWN = {
    "$ref", "type", "enum", "const", "minLength", "maxLength", "pattern", "minimum", "maximum", "items", "minItems",
    "maxItems", "properties", "required", "additionalProperties", "maxProperties", "description", "examples", "default",
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ("a", {"type": "string", "minLength": 1, "maxLength": 1, "pattern": "^a$"}),
        (None, {"type": ["integer", "null"]}),
        (3, {"type": "number", "minimum": 3, "maximum": 3}),
        ([1, 2], {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}),
        (
            {"a": 1},
            {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"], "additionalProperties": False},
        ),
        ({"to": "sip:a@b"}, {"$ref": "#/components/schemas/NewCall"}),
    ],
)
def test_value_that_fits_has_no_violation(value: Any, schema: dict[str, Any]) -> None:
    assert violations(value, schema, SHAPES) == []


@pytest.mark.parametrize(
    ("value", "schema", "said"),
    [
        (True, {"type": "integer"}, "value: must be integer"),
        (1.5, {"type": "integer"}, "value: must be integer"),
        ("a\n", {"type": "string", "pattern": "^a$"}, "must match"),
        ("", {"type": "string", "minLength": 1}, "1 characters or more"),
        ("aa", {"type": "string", "maxLength": 1}, "at most 1"),
        (2, {"type": "number", "minimum": 3}, "3 or more"),
        (4, {"type": "number", "maximum": 3}, "at most 3"),
        ([[]], {"type": "array", "items": {"type": "string"}}, "value[0]: must be string"),
        ([], {"type": "array", "minItems": 1}, "1 items or more"),
        ([1], {"type": "array", "maxItems": 0}, "at most 0 items"),
        ({"a": {"b": 1}}, {"properties": {"a": {"properties": {"b": {"type": "null"}}}}}, "a.b: must be null"),
        ({"x": 1}, {"additionalProperties": False, "properties": {"y": {}}}, "x: unknown; known here: y"),
        ({"x": 1}, {"additionalProperties": {"type": "string"}}, "x: must be string"),
        ({"x": 1}, {"maxProperties": 0}, "at most 0 members"),
        ({}, {"required": ["y"]}, "value: y is missing"),
        ("b", {"enum": ["a"]}, "one of a"),
        (1, {"const": 2}, "must be 2"),
    ],
)
def test_value_that_does_not_is_told_where_and_why(value: Any, schema: dict[str, Any], said: str) -> None:
    assert said in violations(value, schema, SHAPES)[0]


def test_no_more_than_ten_violations_are_told() -> None:
    assert len(violations([1] * 100, {"items": {"type": "string"}}, SHAPES)) == 10


def test_texts_become_what_the_schema_says() -> None:
    assert from_text("7", {"type": "integer"}) == 7
    assert from_text("true", {"type": "boolean"}) is True
    for text in ("7.0", "", "\u0667", "1" * 40, "+1"):
        with pytest.raises(ValueError, match="must be integer"):
            from_text(text, {"type": "integer"})


def test_shapes_use_no_keyword_that_the_validator_does_not_know() -> None:
    def look(schema: Any) -> None:
        assert set(schema) <= KNOWN, set(schema) - KNOWN
        for inner in schema.get("properties", {}).values():
            look(inner)
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                look(schema[key])

    for schema in SHAPES.values():
        look(schema)
