"""What a log line says of an error: where, never what."""

from __future__ import annotations

from agent.errors import traced


def test_trace_names_types_and_places_and_shows_no_value() -> None:
    def inner(said: str) -> None:
        raise KeyError(said)

    try:
        try:
            inner("my number is 4711")
        except KeyError as error:
            raise ExceptionGroup("of 4711", [RuntimeError("heard 4711")]) from error
    except ExceptionGroup as group:
        group.exceptions[0].__cause__ = group.__cause__
        found = traced(group)
    assert found[0] == "RuntimeError"
    assert "KeyError" in found
    assert found[-1].startswith("tests/unit/agent/test_errors.py:")
    assert found[-1].endswith(" inner")
    assert "4711" not in str(found)
