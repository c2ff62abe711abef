"""Where calls may be placed: nowhere, but for what the configuration names. Pure.

A rule is ``sip:USER@HOST[:PORT]``. A ``*`` at the end of USER stands for any rest; ``*`` alone as HOST for any host.
The port must be the rule's (5060 where it names none; ``:*`` for any). A target is a bare ``sip:user@host[:port]``:
parameters and headers, with which a URI can ask for more than it seems to, are refused.

Telephone numbers are ``tel:+15551234567``, and rules for them ``tel:+1555*``: calls to them are placed by Twilio.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_PORT = "5060"
MOST_TARGET = 256
_URI = re.compile(
    r"sip:(?P<user>[A-Za-z0-9+*#._~!'()-]{1,64})@"
    r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,128}|\*)(?::(?P<port>[0-9]{1,5}|\*))?"
)

_NUMBER = re.compile(r"tel:\+[0-9]{5,15}")
_NUMBER_RULE = re.compile(r"tel:\+([0-9]{0,15}\*|[0-9]{5,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    user: str
    host: str
    port: str


def _parts(text: str) -> _Parts | None:
    found = _URI.fullmatch(text)
    if found is None:
        return None
    return _Parts(user=found["user"], host=found["host"].lower(), port=found["port"] or DEFAULT_PORT)


def rule_problem(rule: str) -> str | None:
    """Why a rule cannot be used, or ``None``."""
    if _NUMBER_RULE.fullmatch(rule):
        return None
    if _parts(rule) is None:
        return f"{rule!r} is not sip:USER@HOST[:PORT] (a '*' may end USER, or be the whole HOST or PORT), nor tel:+15*"
    return None


def target_problem(target: str, rules: Sequence[str]) -> str | None:
    """Why a call to ``target`` may not be placed, or ``None``."""
    if is_number(target):
        return None if any(_leads_to(target, rule) for rule in rules) else "no rule of outbound.allow fits the number"
    asked = _parts(target) if len(target) <= MOST_TARGET else None
    if asked is None or asked.host == "*" or asked.port == "*":
        return "the target is not sip:user@host[:port], nor tel:+15551234567"
    if not any(_fits(asked, rule) for text in rules if (rule := _parts(text)) is not None):
        return "no rule of outbound.allow fits the target"
    return None


def is_number(target: str) -> bool:
    """A telephone number, as ``tel:`` with its country."""
    return _NUMBER.fullmatch(target) is not None


def _leads_to(number: str, rule: str) -> bool:
    if not _NUMBER_RULE.fullmatch(rule):
        return False
    return number.startswith(rule[:-1]) if rule.endswith("*") else number == rule


def _fits(asked: _Parts, rule: _Parts) -> bool:
    user_fits = asked.user.startswith(rule.user[:-1]) if rule.user.endswith("*") else asked.user == rule.user
    return user_fits and rule.host in ("*", asked.host) and rule.port in ("*", asked.port)
