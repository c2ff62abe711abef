"""Latency against pause takeover as one SVG that needs nothing else: every system a curve. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

WIDTH, HEIGHT = 800, 470
LEFT, RIGHT, TOP, BOTTOM = 70, 220, 40, 60
COLOURS: Final = {"small": "#0b6e4f", "parts": "#1d4e89", "timer": "#8a8a8a", "pipecat": "#c1440e"}
NAMES: Final = {"small": "Crosstalk-small", "parts": "parts", "timer": "silence timer", "pipecat": "Pipecat (offline)"}
NO_WORDS: Final = ", no words"
"""Ears without a recogniser: drawn as theirs, dashed."""
OTHER: Final = "#555555"
TITLES: Final = {
    "phrases": "phrases that the agent waits for, synthetic voices",
    "sentences": "sentences that it does not expect, synthetic voices",
    "people": "recorded people, ears without words",
}
MOST_MS: Final = 2500.0
"""Slower settings are cut off: nobody waits so long."""

Points = Sequence[Mapping[str, Any]]


def picture(curves: Mapping[str, Points], *, title: str) -> str:
    """Down and left is better. A point that has no latency (nobody was answered) is left out."""
    drawn = {name: _usable(points) for name, points in curves.items()}
    top_ms = max([500.0, *(y for points in drawn.values() for _, y, _ in points)])
    most = max([0.1, *(x for points in drawn.values() for x, _, _ in points)])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>',
        *_axes(most, top_ms),
    ]
    for number, (name, points) in enumerate(drawn.items()):
        parts += _curve(name, points, most, top_ms, number)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _usable(points: Points) -> list[tuple[float, float, str]]:
    """(takeover, p50 in ms, setting), from quick to patient or as they were given."""
    found = [
        (float(point["pause_takeover"]), float(point["response_ms"]["p50"]), str(point["setting"]))
        for point in points
        if point["pause_takeover"] is not None and point["response_ms"]["p50"] is not None
    ]
    return [one for one in found if one[1] <= MOST_MS]


def _x(share: float, most: float) -> float:
    return LEFT + share / most * (WIDTH - LEFT - RIGHT)


def _y(ms: float, top_ms: float) -> float:
    return HEIGHT - BOTTOM - max(0.0, ms) / top_ms * (HEIGHT - TOP - BOTTOM)


def _axes(most: float, top_ms: float) -> list[str]:
    found = []
    step = 0.02 if most <= 0.12 else 0.05 if most <= 0.4 else 0.2
    share = 0.0
    while share <= most + 1e-9:
        x = _x(share, most)
        found.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#eeeeee"/>')
        found.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{share:.0%}</text>')
        share += step
    for ms in range(0, int(top_ms) + 1, 100 if top_ms <= 700 else 250 if top_ms <= 1500 else 500):
        y = _y(ms, top_ms)
        found.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#eeeeee"/>')
        found.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{ms}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    found.append(f'<text x="{middle}" y="{HEIGHT - 16}" text-anchor="middle">pauses of the caller taken over</text>')
    found.append(
        f'<text x="18" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 18 {HEIGHT / 2})">'
        "end of turn called, p50 ms after the last sound</text>"
    )
    return found


def _curve(name: str, points: list[tuple[float, float, str]], most: float, top_ms: float, number: int) -> list[str]:
    base, _, words = name.partition(NO_WORDS[0])
    colour, dashes = COLOURS.get(base, OTHER), ' stroke-dasharray="5 4"' if words else ""
    at = [(_x(share, most), _y(ms, top_ms)) for share, ms, _ in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    legend = TOP + 20 + 22 * number
    found = [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'] if at else []
    for (x, y), (share, ms, setting) in zip(at, points, strict=True):
        tip = escape(f"{name} {setting}: {ms:.0f} ms, {share:.1%}")
        found.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{tip}</title></circle>')
    found.append(f'<circle cx="{WIDTH - RIGHT + 20}" cy="{legend - 4}" r="4" fill="{colour}"/>')
    found.append(
        f'<text x="{WIDTH - RIGHT + 32}" y="{legend}">{escape(NAMES.get(base, base) + name.removeprefix(base))}</text>'
    )
    return found
