"""A timeline in the terminal: two lanes, one line per thing that happened."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.simulator.timeline import CallerMark, Timeline
from agent.simulator.truth import EventType

BAR_COLUMNS = 72
GLYPHS = {
    EventType.TURN: ("▇", "green"),
    EventType.HOLD: ("·", "green"),
    EventType.INTERRUPT: ("▇", "red"),
    EventType.BACKCHANNEL: ("▆", "cyan"),
    EventType.TIC: ("▅", "yellow"),
    EventType.SIDE_TALK: ("▅", "magenta"),
    EventType.NOISE: ("░", "white"),
    EventType.DTMF: ("#", "blue"),
}


def show_timeline(timeline: Timeline, console: Console) -> None:
    """Print both lanes as bars, then what happened in order."""
    console.print(lanes(timeline, BAR_COLUMNS))
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
    table.add_column("time", justify="right", style="dim", no_wrap=True)
    table.add_column("caller", ratio=1)
    table.add_column("agent", ratio=1)
    for at, caller, agent in rows(timeline):
        table.add_row(f"{at:6.2f}", caller, agent)
    console.print(table)


def lanes(timeline: Timeline, columns: int) -> Text:
    """The whole call in two bars of ``columns`` characters."""
    scale = columns / max(timeline.length_s, 1e-9)
    caller: list[tuple[str, str]] = [(" ", "")] * columns
    for done in timeline.caller:
        glyph = GLYPHS.get(done.event.type, ("▇", ""))
        first, last = int(done.event.start * scale), int(done.event.end * scale)
        for column in range(max(0, first), min(columns, last + 1)):
            caller[column] = glyph
    agent: list[tuple[str, str]] = [(" ", "")] * columns
    for span in timeline.agent:
        for column in range(int(span.start * scale), min(columns, int(span.end * scale) + 1)):
            agent[column] = ("▇", "blue")
    text = Text()
    for name, lane in (("caller ", caller), ("agent  ", agent)):
        text.append(name, style="bold")
        for mark, style in lane:
            text.append(mark, style=style)
        text.append("\n")
    return text


def rows(timeline: Timeline) -> list[tuple[float, Text, Text]]:
    """(time, caller's cell, agent's cell) in order."""
    said = [mark for mark in timeline.caller if mark.event.type is not EventType.HOLD]
    found = [(mark.event.start, caller_cell(mark), Text(_outcome(mark), style="dim")) for mark in said]
    if timeline.lines:
        for line in timeline.lines:
            cell = Text(line.heard or line.text)
            if line.unheard:
                cell.append(f" {line.unheard}", style="strike dim")
            found.append((line.start, Text(), cell))
    else:
        found += [(span.start, Text(), Text(f"speaks {span.length:.1f} s", style="blue")) for span in timeline.agent]
    for turn in timeline.turns:
        found.append((turn.at, Text(f"understood: {turn.text or '(nothing)'} [{turn.why}]", style="dim"), Text()))
    for decision in timeline.decisions:
        found.append(
            (decision.at, Text(), Text(f"{decision.what}{': ' if decision.why else ''}{decision.why}", "cyan"))
        )
    for at, words in timeline.others:
        found.append((at, Text(), Text(words, style="dim")))
    return sorted(found, key=lambda row: row[0])


def caller_cell(mark: CallerMark) -> Text:
    style = GLYPHS.get(mark.event.type, ("", ""))[1]
    if mark.event.type is EventType.TURN:
        return Text(mark.event.text, style=style)
    return Text(f"[{mark.event.type}] {mark.event.text}", style=style)


def _outcome(mark: CallerMark) -> str:
    if mark.interrupted:
        return "interrupts politely"
    if mark.event.type is EventType.TURN and mark.event.expect == "reply":
        return "no answer" if mark.response_s is None else f"answers after {mark.response_s * 1000:.0f} ms"
    if mark.over_agent:
        return "goes on" if mark.stop_s is None else f"stops after {mark.stop_s * 1000:.0f} ms"
    return ""
