"""The duplex bench's systems as one table in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agent.bench.decisions import latency_at

HEAD: Final = (
    "| system | profile | RL p50 / p95 ms | pause takeover | YR2 | yield p50 / p95 ms | duck p95 ms "
    "| backchannel / tic / side talk / noise | void |"
)
EQUAL: Final = (0.05, 0.1, 0.2)
"""Takeovers at which systems are compared."""
CLASSES: Final = ("backchannel", "tic", "side_talk", "noise")


def table(figures: Mapping[str, Any]) -> str:
    """Rows of ``systems``, then the comparison at equal pause takeover."""
    lines = [HEAD, "|---|" + "---|" * 8]
    for name, found in figures["systems"].items():
        if found.get("how") == "missing":
            lines.append(f"| {name} | not measured: {found['why']} |" + " |" * 7)
        for profile, one in found.get("profiles", {"clean, offline": found}).items():
            if "response_ms" in one:
                lines.append(_row(name, profile, one))
    for name, found in figures.get("curves", {}).items():
        lines += _equal(f"{name} ({found['turns']} turns)", found["equal_takeover"])
    return "\n".join(lines)


def _equal(who: str, values: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """How soon each system calls the end where it takes as many pauses as the others."""
    if not values:
        return []
    head = f"| {who}: end of turn called, p50 ms at a takeover of at most | "
    return [
        "",
        head + " | ".join(f"{share:.0%}" for share in EQUAL) + " |",
        "|---|" + "---|" * len(EQUAL),
        *(
            f"| {name} | " + " | ".join(_plain(value) for value in found.values()) + " |"
            for name, found in values.items()
        ),
    ]


def equal_takeover(curves: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """The quickest setting of every system that takes no more than each of ``EQUAL``."""
    return {name: {f"{share:g}": latency_at(points, share) for share in EQUAL} for name, points in curves.items()}


def _row(name: str, profile: str, one: Mapping[str, Any]) -> str:
    response, given = one["response_ms"], one.get("yield_ms", {})
    low, high = one.get("pauses", {}).get("interval", (None, None))
    interval = f" [{low:.2f}–{high:.2f}]" if low is not None and high is not None else ""
    kept = one.get("selectivity", {})
    cells = [
        name,
        profile,
        f"{_plain(response['p50'])} / {_plain(response['p95'])} of {response['n']}",
        f"{_share(one['pause_takeover'])}{interval} of {one.get('pauses', {}).get('n', '–')}",
        f"{_share(given.get('yr2'))} of {given.get('n', '–')}",
        f"{_plain(given.get('p50'))} / {_plain(given.get('p95'))}",
        _plain(one.get("duck_ms", {}).get("p95")),
        " / ".join(_share(kept.get(kind)) for kind in CLASSES),
        str(one.get("void_calls", "–")),
    ]
    return "| " + " | ".join(cells) + " |"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
