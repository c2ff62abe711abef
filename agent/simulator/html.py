"""A timeline as one self-contained HTML page: two waveforms, the recording to listen to, words, floor, latencies."""

from __future__ import annotations

import base64
import html
import io
import wave

import numpy as np

from agent.simulator.caller import stereo
from agent.simulator.energy import RATE_HZ, Pcm
from agent.simulator.timeline import CallerMark, Decided, Timeline
from agent.simulator.truth import EventType

PX_PER_S = 60
LANE_PX = 90
COLOURS = {
    EventType.TURN: "#2e9e5b",
    EventType.HOLD: "#9fd8b6",
    EventType.INTERRUPT: "#d64545",
    EventType.BACKCHANNEL: "#1ba0a8",
    EventType.TIC: "#c79a00",
    EventType.SIDE_TALK: "#a05bd0",
    EventType.NOISE: "#8a8f98",
    EventType.DTMF: "#3b6fd6",
}
FLOOR_COLOURS = {
    "open": "#d9dce1",
    "caller": "#2e9e5b",
    "agent": "#3b6fd6",
    "overlap": "#e0a100",
    "yielding": "#d64545",
}
DECIDED = {
    Decided.DUCK: ("▼", "#e0a100"),
    Decided.RESTORE: ("▲", "#3b6fd6"),
    Decided.YIELD: ("■", "#d64545"),
    Decided.RESUME: ("▶", "#3b6fd6"),
    Decided.PREPARED: ("○", "#8a8f98"),
    Decided.SAID: ("●", "#2e9e5b"),
    Decided.THROWN_AWAY: ("✕", "#8a8f98"),
    Decided.BACKCHANNEL: ("◆", "#1ba0a8"),
    Decided.INTERRUPTION: ("!", "#a05bd0"),
}
"""Sign and colour of each decision."""

STYLE = """
:root{color-scheme:light dark;--ink:#1d2228;--paper:#fff;--line:#d9dce1;--soft:#6b7280}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--paper:#15181c;--line:#333a42;--soft:#9aa3ad}}
*{box-sizing:border-box}
body{margin:0;padding:1rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
main{max-width:70rem;margin:0 auto}h1{font-size:1.25rem;margin:.2rem 0}p{margin:.4rem 0}
audio{width:100%;margin:.5rem 0;position:sticky;top:0;z-index:1}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:.5rem}
svg{display:block}text{font:11px system-ui,sans-serif;fill:var(--ink)}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1rem;font-size:.85rem;color:var(--soft)}
.legend i{display:inline-block;width:.8em;height:.8em;border-radius:.2em;margin-right:.35em}
ol{list-style:none;margin:1rem 0;padding:0}
li{display:grid;grid-template-columns:4rem 1fr;gap:.6rem;padding:.35rem 0;border-top:1px solid var(--line)}
li button{all:unset;cursor:pointer;color:#3b6fd6;font-variant-numeric:tabular-nums}
li button:focus-visible{outline:2px solid}
.agent{color:#3b6fd6}.note{color:var(--soft);font-size:.9rem}del{color:var(--soft)}
"""

SCRIPT = """
const a=document.querySelector('audio'),c=document.getElementById('cursor'),s=document.querySelector('.scroll');
document.querySelectorAll('[data-at]').forEach(b=>b.addEventListener('click',()=>{a.currentTime=+b.dataset.at;a.play()}));
function f(){const x=a.currentTime*PX;c.setAttribute('x1',x);c.setAttribute('x2',x);
if(!a.paused&&(x<s.scrollLeft||x>s.scrollLeft+s.clientWidth-40))s.scrollLeft=x-40;requestAnimationFrame(f)}f();
s.addEventListener('click',e=>{a.currentTime=(e.clientX-s.getBoundingClientRect().left+s.scrollLeft)/PX});
"""


def render_page(timeline: Timeline, caller: Pcm, agent: Pcm, *, title: str, facts: dict[str, str]) -> str:
    """The page. It loads nothing from anywhere."""
    told = " · ".join(f"{html.escape(key)} {html.escape(value)}" for key, value in facts.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f'<h1>{html.escape(title)}</h1><p class="note">{told}</p>'
        f'<audio controls preload="metadata" src="data:audio/wav;base64,{_wav(caller, agent)}"></audio>'
        '<div class="scroll" role="img" aria-label="Waveforms of caller and agent">'
        f"{_drawing(timeline, caller, agent)}</div>"
        f"{_legend()}<ol>{''.join(_rows(timeline))}</ol>"
        f"</main><script>{SCRIPT.replace('PX', str(PX_PER_S))}</script></body></html>"
    )


def _wav(caller: Pcm, agent: Pcm) -> str:
    out = io.BytesIO()
    with wave.open(out, "wb") as found:
        found.setnchannels(2)
        found.setsampwidth(2)
        found.setframerate(RATE_HZ)
        found.writeframes(stereo(caller, agent).tobytes())
    return base64.b64encode(out.getvalue()).decode()


# --- the drawing ---


def _drawing(timeline: Timeline, caller: Pcm, agent: Pcm) -> str:
    width = max(320, round(timeline.length_s * PX_PER_S))
    height = 2 * LANE_PX + 78
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f"{_grid(timeline.length_s, height)}"
        f"{_events(timeline)}"
        f'<path d="{_waveform(caller, 20)}" fill="#2e9e5b"/><text x="4" y="32">caller</text>'
        f'<path d="{_waveform(agent, 20 + LANE_PX)}" fill="#3b6fd6"/><text x="4" y="{32 + LANE_PX}">agent</text>'
        f"{_floor(timeline)}{_decisions(timeline)}{_latencies(timeline)}"
        f'<line id="cursor" x1="0" x2="0" y1="0" y2="{height}" stroke="#d64545" stroke-width="1.5"/></svg>'
    )


def _grid(length_s: float, height: int) -> str:
    marks = [
        f'<line x1="{s * PX_PER_S}" x2="{s * PX_PER_S}" y1="14" y2="{height}" stroke="var(--line)"/>'
        f'<text x="{s * PX_PER_S + 2}" y="11" fill-opacity=".6">{s} s</text>'
        for s in range(int(length_s) + 1)
    ]
    return "".join(marks)


def _waveform(pcm: Pcm, top: int) -> str:
    """Peaks of each pixel as one closed path."""
    step = RATE_HZ // PX_PER_S
    columns = len(pcm) // step
    if not columns:
        return ""
    peaks = np.abs(pcm[: columns * step].astype(np.int32)).reshape(columns, step).max(axis=1)
    # A square root shows quiet speech; linear peaks of telephone speech are mostly flat.
    tall = np.sqrt(peaks / 32768.0) * (LANE_PX / 2 - 4)
    middle = top + LANE_PX / 2
    up = " ".join(f"{x},{middle - y:.1f}" for x, y in enumerate(tall.tolist()))
    down = " ".join(f"{x},{middle + y:.1f}" for x, y in reversed(list(enumerate(tall.tolist()))))
    return f"M{up} L{down}Z"


def _events(timeline: Timeline) -> str:
    found = []
    for mark in timeline.caller:
        event = mark.event
        x, width = event.start * PX_PER_S, max(2.0, (event.end - event.start) * PX_PER_S)
        words = html.escape(f"{event.type}: {event.text}")
        found.append(
            f'<rect x="{x:.1f}" y="20" width="{width:.1f}" height="{LANE_PX}" fill="{COLOURS.get(event.type, "#888")}" '
            f'fill-opacity=".22"><title>{words}</title></rect>'
        )
    return "".join(found)


def _floor(timeline: Timeline) -> str:
    top = 2 * LANE_PX + 24
    found = []
    for index, state in enumerate(timeline.floor):
        later = timeline.floor[index + 1].start if index + 1 < len(timeline.floor) else timeline.length_s
        width = max(1.0, (later - state.start) * PX_PER_S)
        found.append(
            f'<rect x="{state.start * PX_PER_S:.1f}" y="{top}" width="{width:.1f}" height="10" '
            f'fill="{FLOOR_COLOURS.get(state.state, "#888")}"><title>floor {html.escape(state.state)}: '
            f"{html.escape(state.why)}</title></rect>"
        )
    return "".join(found)


def _decisions(timeline: Timeline) -> str:
    """Under the floor: a sign where the service decided something about its own voice."""
    y = 2 * LANE_PX + 46
    found = []
    for decision in timeline.decisions:
        sign, colour = DECIDED[decision.what]
        told = html.escape(f"{decision.what}: {decision.why}" if decision.why else decision.what)
        found.append(
            f'<text x="{decision.at * PX_PER_S:.1f}" y="{y}" text-anchor="middle" '
            f'style="fill:{colour};font:700 12px sans-serif">{sign}<title>{told}</title></text>'
        )
    return "".join(found)


def _latencies(timeline: Timeline) -> str:
    y = 2 * LANE_PX + 66
    found = []
    for mark in timeline.caller:
        if mark.response_s is not None:
            start, length, colour = mark.event.end, mark.response_s, "#2e9e5b"
        elif mark.stop_s is not None:
            start, length, colour = mark.event.start, mark.stop_s, "#d64545"
        else:
            continue
        x1, x2 = start * PX_PER_S, (start + length) * PX_PER_S
        found.append(
            f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y - 8}" y2="{y - 8}" stroke="{colour}" stroke-width="3"/>'
            f'<text x="{min(x1, x2):.1f}" y="{y + 6}">{length * 1000:.0f} ms</text>'
        )
    return "".join(found)


def _legend() -> str:
    kinds = "".join(f'<span><i style="background:{c}"></i>{html.escape(str(t))}</span>' for t, c in COLOURS.items())
    floor = "".join(f'<span><i style="background:{c}"></i>floor {t}</span>' for t, c in FLOOR_COLOURS.items())
    decided = "".join(
        f'<span><b style="color:{colour}">{sign}</b> {html.escape(what)}</span>'
        for what, (sign, colour) in DECIDED.items()
    )
    return (
        f'<p class="legend">{kinds}</p><p class="legend">{floor}'
        '<span><i style="background:#2e9e5b"></i>line: response</span>'
        '<span><i style="background:#d64545"></i>line: agent stops</span></p>'
        f'<p class="legend">{decided}</p>'
    )


# --- the words ---


def _rows(timeline: Timeline) -> list[str]:
    said = [mark for mark in timeline.caller if mark.event.type is not EventType.HOLD]
    rows = [(mark.event.start, _caller_words(mark)) for mark in said]
    for line in timeline.lines:
        words = html.escape(line.heard or line.text)
        rest = f" <del>{html.escape(line.unheard)}</del>" if line.unheard else ""
        rows.append((line.start, f'<span class="agent">{words}{rest}</span>'))
    for turn in timeline.turns:
        told = f"understood: {html.escape(turn.text) or '(nothing)'} · {html.escape(turn.why)}"
        rows.append((turn.at, f'<span class="note">{told}</span>'))
    for decision in timeline.decisions:
        sign, colour = DECIDED[decision.what]
        why = f': <span class="note">{html.escape(decision.why)}</span>' if decision.why else ""
        rows.append((decision.at, f'<b style="color:{colour}">{sign}</b> {html.escape(decision.what)}{why}'))
    rows += [(at, f'<span class="note">{html.escape(words)}</span>') for at, words in timeline.others]
    return [
        f'<li><button data-at="{at:.2f}">{at:.2f} s</button><span>{words}</span></li>' for at, words in sorted(rows)
    ]


def _caller_words(mark: CallerMark) -> str:
    event = mark.event
    name = "" if event.type is EventType.TURN else f"[{event.type}] "
    outcome = ""
    if mark.interrupted:
        outcome = "interrupted politely"
    elif event.type is EventType.TURN and event.expect == "reply":
        outcome = "no answer" if mark.response_s is None else f"answered after {mark.response_s * 1000:.0f} ms"
    elif mark.over_agent:
        outcome = "the agent goes on" if mark.stop_s is None else f"the agent stops after {mark.stop_s * 1000:.0f} ms"
    note = f' <span class="note">{outcome}</span>' if outcome else ""
    colour = COLOURS.get(event.type, "#888")
    return f'<span style="color:{colour}">{html.escape(name + event.text)}</span>{note}'
