"""Where calls may be placed."""

from __future__ import annotations

import pytest

from agent.dialplan import rule_problem, target_problem

RULES = ("sip:+49*@trunk.example.com", "sip:test@127.0.0.1:*", "sip:anna@*")


@pytest.mark.parametrize(
    "target",
    [
        "sip:+4930123@trunk.example.com",
        "sip:+4930123@TRUNK.example.com:5060",
        "sip:test@127.0.0.1:5099",
        "sip:anna@a.b",
    ],
)
def test_target_that_a_rule_names_may_be_called(target: str) -> None:
    assert target_problem(target, RULES) is None


@pytest.mark.parametrize(
    "target",
    [
        "sip:+4930123@evil.example.com",
        "sip:+4930123@trunk.example.com:5061",
        "sip:+4930123@trunk.example.com.evil.com",
        "sip:+4930123@trunk.example.com;maddr=10.0.0.1",
        "sip:+4930123@trunk.example.com?Route=x",
        "sip:+1900@trunk.example.com",
        "sip:+4930123:pw@trunk.example.com",
        "sips:+4930123@trunk.example.com",
        "tel:+4930123",
        "sip:anna@*",
        "sip:anna@a.b:*",
        "sip:anna@a.b\r\nX: y",
        "",
        "sip:" + "a" * 300 + "@a.b",
    ],
)
def test_anything_else_is_refused(target: str) -> None:
    assert target_problem(target, RULES) is not None


@pytest.mark.parametrize("rule", ["tel:+1555*", "tel:+15551234567", "tel:+*"])
def test_number_that_a_rule_names_may_be_called(rule: str) -> None:
    assert rule_problem(rule) is None
    assert target_problem("tel:+15551234567", [rule]) is None


@pytest.mark.parametrize(
    "target", ["tel:+1900123456", "tel:15551234567", "tel:+1555123;ext=1", "tel:+1555", "tel:+1555*", "sip:+1555@a.b"]
)
def test_other_numbers_are_refused(target: str) -> None:
    assert target_problem(target, ["tel:+1555*", *RULES]) is not None


def test_without_rules_nobody_is_called() -> None:
    assert target_problem("sip:+4930123@trunk.example.com", ()) is not None


def test_rule_that_is_no_rule_is_named() -> None:
    assert rule_problem("sip:+49*@trunk.example.com:*") is None
    assert "'+49'" in str(rule_problem("+49"))
