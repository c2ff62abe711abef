"""The console in a real browser: a call watched, steered, read and heard; keys; hostile words; keyboard; every width."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from agent.api.console import add_console_routes
from agent.api.page import add_common
from agent.api.schema import violations
from agent.api.shapes import SHAPES
from agent.app import Service, start_service
from agent.client import Crosstalk
from agent.simulator.caller import run_call
from agent.simulator.media import MediaThread
from agent.simulator.script import parse_script
from agent.store.interface import Event, TimelineEntry
from tests.peers.chromium import Page, browser
from tests.peers.programs import require
from tests.peers.service_kit import all_ended, assert_clean_log, until
from tests.unit.agent.api.rest_kit import Kit, rest, write_wav

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]
HOWTO = ROOT / "docs/howto/console.md"
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>\u202eevil"
REFUSED = re.compile(r"status of 4(00|01|03|04|29)|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_REFUSED")
"""What a browser notes of refusals and of streams that break, and tells again after the next ``Log.enable``."""
SCRIPT = """
name: listen
max_s: 30
steps:
  - wait: 1500
  - dtmf: "1"
  - wait: 25000
  - hangup
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[Service]:
    """The parcel line with its back end (webhooks, tools) and a voice of tones."""
    settings = {"voice.engine": "marker", "ears.recogniser": "none", "recording.enabled": True}
    async with start_service({**settings, "sip.transfer_targets": ["sip:people@"]}) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    async with browser(require("chromium"), tmp_path_factory.mktemp("browser"), microphone=None) as tab:
        await tab.resize(1280, 900)
        yield tab


def text(selector: str) -> str:
    return f"(document.querySelector({selector!r})?.innerText ?? '')"


def count(selector: str) -> str:
    return f"document.querySelectorAll({selector!r}).length"


async def press(page: Page, selector: str) -> None:
    await page.until(f"document.querySelector({selector!r}) !== null")
    await page.run(f"document.querySelector({selector!r}).click()")


async def reload(page: Page) -> None:
    """Until the new page is there: the old one answers for a while."""
    await page.run("window.isOld = true")
    await page.run("location.reload()")
    await page.until("window.isOld === undefined && document.readyState === 'complete'")


async def write(page: Page, selector: str, words: str) -> None:
    await page.run(f"document.querySelector({selector!r}).focus()")
    await page.send("Input.insertText", text=words)


def assert_no_errors(page: Page) -> None:
    """None of the page, whose refusals are no errors."""
    found, page.errors[:] = [error for error in page.errors if not REFUSED.search(error)], []
    assert not found


async def test_a_call_is_watched_steered_read_and_heard(service: Service, page: Page) -> None:
    await page.open(f"{service.http_url}/console")
    await page.until(f"{text('.empty')}.includes('Nobody is on the line')")
    with MediaThread() as media:
        call = asyncio.create_task(run_call(service.sip_uri, parse_script(SCRIPT), media=media))
        await page.until(f"{count('.card.live')} === 1")
        await page.until("document.querySelector('.card.live').dataset.floor === 'agent'")
        await page.until("/line (good|fair|poor)/.test(document.querySelector('.figures').innerText)")
        assert "worker1 row" in await page.run(text(".figures"))
        await press(page, "nav [data-view=service]")
        await page.until(f"/step [\\d.]+ ms, at worst [\\d.]+ ms \\(p99\\) of \\d+ ms/.test({text('.worker')})")
        assert "1 of" in await page.run(text(".worker"))
        await press(page, "nav [data-view=calls]")
        await press(page, ".card.live h2 a")
        await page.until(f"{count('.happened li')} > 2")
        await page.until(
            f"{text('.now .said')}.length > 10 && document.querySelector('.now').dataset.floor !== undefined"
        )
        await page.until("document.querySelector('.happened').innerText.includes('key 1')")
        await write(page, "#say", "<img src=x onerror=alert(1)>")
        await press(page, ".steer form button")
        await page.until(f"{text('.came')}.includes('after what is being said')")
        await write(page, "#target", "sip:+1900@evil.example")
        await press(page, ".steer form:nth-of-type(2) button")
        await page.until(f"{text('.came')}.includes('sip.transfer_targets')")
        # The example's back end is told everything; it takes what is sent again.
        await page.until(f"{count('.hook-state.delivered')} >= 1", 15.0)
        await press(page, ".again button")
        await page.until(f"/HTTP 2\\d\\d/.test({text('.again')})")
        await press(page, ".steer .end")
        assert await page.run(text(".steer .end")) == "End it now?"
        await press(page, ".steer .end")
        await call
    await page.until("!document.querySelector('audio').hidden", 15.0)
    assert await page.run(text(".call-head .result")) == "operator hangup"
    assert await page.run(count(".steer")) == 0
    told = await page.run(text(".happened"))
    assert "order: say" in told
    assert "<img src=x" in told
    assert await page.run(f"{count('main img')} + {count('main script')}") == 0
    assert await page.run("document.title") != "taken"
    states = await page.run("[...document.querySelectorAll('.floor-bar')].map((bar) => bar.dataset.state)")
    assert {"open", "agent"} <= set(states)
    await page.until(f"{count('.wave.agent')} === 1")
    await page.until(f"{count('.hook-state.delivered')} >= 3", 15.0)
    assert await page.run(f"/HTTP 2\\d\\d/.test({text('.again')})"), "the list was told anew since; the form was not"
    assert_no_errors(page)


async def test_the_cursor_goes_with_the_sound_and_the_sound_with_the_words(service: Service, page: Page) -> None:
    """On the call of the test before."""
    (call,) = await all_ended(service, 1)
    client = Crosstalk(service.http_url)
    entries = await asyncio.to_thread(client.timeline, call["call_id"])
    (first, *_) = [e["at_ms"] for e in entries if e["kind"] == "utterance" and e["data"]["phase"] == "started"]
    peaks = (
        await asyncio.to_thread(lambda: client.waveform(call["call_id"], points=200, from_ms=0, to_ms=first + 1000))
    )["agent"]
    onset = next(at for at, peak in enumerate(peaks) if peak > 0.02) * (first + 1000) / 200
    assert abs(onset - first) < 60, "the timeline's first word and the recording's"
    await page.run("document.querySelector('audio').play()")
    await page.until("document.querySelector('audio').currentTime > 0.8")
    apart = await page.run(
        "(() => { const audio = document.querySelector('audio'); audio.pause();"
        " return new Promise((done) => setTimeout(() => {"
        " const wide = document.querySelector('.wide').getBoundingClientRect();"
        " const x = document.querySelector('.cursor').getBoundingClientRect().x + 1 - wide.x;"
        " const [minutes, seconds] = document.querySelector('.reading').innerText.split(' ')[0].split(':').map(Number);"
        " done([x, minutes * 60 + seconds - audio.currentTime]); }, 100)); })()"
    )
    assert abs(apart[1]) < 0.02, "the reading and the sound, in seconds"
    assert apart[0] > 20
    at = "document.querySelectorAll('.happened li[aria-current]').length"
    assert await page.run(at) == 1
    await page.run("[...document.querySelectorAll('.happened button')].at(-1).click()")
    await page.until("document.querySelector('audio').currentTime > 2")
    assert_no_errors(page)


async def test_the_keyboard_alone_reads_a_call(service: Service, page: Page) -> None:
    await page.open(f"{service.http_url}/console")
    await page.until(f"{count('.past a')} === 1")
    await tab_to(page, "document.activeElement.closest('.past') !== null")
    await page.key("Enter", "\r")
    await page.until("!document.querySelector('audio')?.hidden && document.querySelectorAll('.wave').length === 2")
    await tab_to(page, "document.activeElement.className === 'scroll'")
    position = "Number(document.activeElement.getAttribute('aria-valuenow'))"
    for _ in range(3):
        await page.key("ArrowRight")
    assert await page.run(position) == 3
    assert "floor" in await page.run("document.activeElement.getAttribute('aria-valuetext')")
    wide = "document.querySelector('.wide').offsetWidth"
    before = await page.run(wide)
    await page.key("+", "+")
    await page.key("+", "+")
    assert await page.run(wide) > before * 2
    await page.key("0", "0")
    assert await page.run(wide) == before
    await page.key("Home")
    await page.key(" ", " ")
    await page.until("document.querySelector('audio').currentTime > 0.2")
    await page.key(" ", " ")
    assert await page.run("document.querySelector('audio').paused")
    assert_no_errors(page)


async def tab_to(page: Page, claim: str) -> None:
    for _ in range(40):
        if await page.run(claim):
            return
        await page.key("Tab")
    raise AssertionError(f"no Tab leads there: {claim}")


async def test_agents_and_workers_are_shown_and_changed(service: Service, page: Page) -> None:
    await page.open(f"{service.http_url}/console#/service")
    await page.until(f"{text('.status-line')}.startsWith('Ready')")
    health = await asyncio.to_thread(Crosstalk(service.http_url).health)
    assert not violations(health, SHAPES["Health"], SHAPES)
    await page.until(f"{text('.worker')}.includes('0 of')")
    await press(page, ".endpoints button")
    await page.until(f"/HTTP 2\\d\\d/.test({text('.endpoints')})")
    await press(page, "nav [data-view=agents]")
    await press(page, ".cards h2 a")
    await page.until("document.querySelector('textarea')?.value.includes('dialogue: parcel')")
    await page.run("document.querySelector('textarea').value = 'dialogue: [' ")
    await page.run("[...document.querySelectorAll('.agents button')].find((one) => one.innerText === 'Check').click()")
    await page.until(f"{text('.problems')}.includes('line 1')")
    assert_no_errors(page)


async def test_no_width_and_no_theme_breaks_any_view(service: Service, page: Page) -> None:
    (call,) = await all_ended(service, 1)
    for view in ("calls", f"calls/{call['call_id']}", "agents", "agents/parcel", "service"):
        await page.open(f"{service.http_url}/console#/{view}")
        await reload(page)
        await page.until("document.querySelector('main :is(h1, h2)') !== null && document.readyState === 'complete'")
        await asyncio.sleep(0.3)
        for width, dark in ((320, False), (390, True), (768, False), (1440, True)):
            await page.resize(width, 800, dark=dark)
            assert await page.run("document.documentElement.scrollWidth") <= width, (view, width)
            small = "[...document.querySelectorAll('button, select, nav a, .past a')].filter((b) => b.offsetParent && b.offsetHeight < 40).length"
            assert await page.run(small) == 0, (view, width)
        nameless = (
            "[...document.querySelectorAll('main button, main input, main select, main textarea, main audio')]"
            ".filter((one) => !(one.getAttribute('aria-label') || one.labels?.length || one.innerText.trim())).length"
        )
        assert await page.run(nameless) == 0, view
        assert await page.run(
            "performance.getEntriesByType('resource').every((e) => e.name.startsWith(location.origin))"
        )
    await page.resize(1280, 900)
    assert_no_errors(page)


async def test_howto_does_what_it_says_and_its_key_opens_the_console(
    service: Service, page: Page, tmp_path: Path
) -> None:
    """It creates keys: the last test on this service."""
    require("curl")
    blocks = re.findall(r"```sh\n(.*?)```", HOWTO.read_text(encoding="utf-8"), re.DOTALL)
    (script,) = re.findall(r"```yaml\n(.*?)```", HOWTO.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "console.yaml").write_text(script)
    (tmp_path / "crosstalk").write_text(
        f'#!/bin/sh\nexec {sys.executable} -P -c "from agent.cli import main; raise SystemExit(main())" "$@"\n'
    )
    (tmp_path / "crosstalk").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "CROSSTALK": service.http_url,
        "CROSSTALK_API__FOLDER": str(service.folder / "api"),
        "TARGET": service.sip_uri,
    }
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", "\n".join(["set -e", *blocks]), cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )  # fmt: skip
    out = (await asyncio.wait_for(process.communicate(), 60.0))[0].decode()
    assert process.returncode == 0, out
    assert '"name":"anna"' in out
    assert "Crosstalk" in (tmp_path / "page.html").read_text()
    assert (tmp_path / "call" / "call.wav").exists()

    await page.open(f"{service.http_url}/console")
    await reload(page)
    await page.until("document.getElementById('gate')?.hidden === false && document.activeElement.id === 'key'")
    await write(page, "#key", "ct_live_wrong")
    await page.key("Enter", "\r")
    await page.until(f"{text('#gate-problem')}.includes('not known')")
    await write(page, "#key", (tmp_path / "anna.txt").read_text().strip())
    await page.key("Enter", "\r")
    await page.until(f"{count('.past a')} === 2")
    await page.until(f"{text('#link')} === 'Live'")
    assert "anna" in await page.run(text("#who"))
    await press(page, ".past a")
    await page.until("document.querySelector('audio')?.src.startsWith('blob:')", 15.0)
    assert await page.run("Object.keys(localStorage).length + document.cookie.length") == 0
    await reload(page)
    await page.until(f"{count('.happened li')} > 2")  # this tab keeps the key
    await press(page, "#forget")
    await page.until("!document.getElementById('gate').hidden")
    assert await page.run("sessionStorage.length") == 0
    await write(page, "#key", (tmp_path / "desk.txt").read_text().strip())
    await page.key("Enter", "\r")
    await page.run("location.hash = '#/service'")
    await page.until(f"{text('.status-line')}.includes('service:read')")
    await page.run("location.hash = '#/calls'")
    await page.until(f"{text('main')}.includes('None yet')")
    await press(page, "#forget")
    await page.until("!document.getElementById('gate').hidden")
    assert_no_errors(page)


async def test_nothing_went_wrong_inside(service: Service) -> None:
    assert_clean_log(service)


# --- on the API alone: what no well-behaved caller brings about ---


@asynccontextmanager
async def api(folder: Path) -> AsyncIterator[Kit]:
    """The whole REST API and the console, without a line."""

    def more(app: web.Application) -> None:
        add_common(app)
        add_console_routes(app)

    async with rest(folder, more=more) as kit:
        yield kit


async def test_hostile_words_stay_words(page: Page, tmp_path: Path) -> None:
    async with api(tmp_path) as kit:
        await kit.call("c1", from_uri=f"sip:{HOSTILE}@evil")
        hostile: dict[str, dict[str, Any]] = {
            "turn": {"phase": "ended", "turn": 9, "text": HOSTILE, "why": HOSTILE},
            "utterance": {"phase": "ended", "number": 9, "heard": HOSTILE, "unheard": HOSTILE, "why": HOSTILE},
            "tool": {"name": HOSTILE, "ok": False, "took_ms": 5, "why": HOSTILE},
            "note": {"key": HOSTILE, "value": {"a": HOSTILE}},
            "dtmf": {"digit": HOSTILE},
            "floor": {"before": HOSTILE, "after": HOSTILE, "cause": HOSTILE, "why": HOSTILE},
            "order": {"what": HOSTILE, "by": HOSTILE, "text": HOSTILE},
            "unheard_of": {"x": HOSTILE},
        }
        await kit.store.append_timeline(
            "c1", [TimelineEntry(at_ms=1500, kind=kind, data=data) for kind, data in hostile.items()]
        )
        await page.open(f"{kit.url}/console")
        await page.until(f"{text('.past')}.includes('<img src=x')")
        await press(page, ".past a")
        await page.until(f"{count('.happened li')} > 5")
        await page.run(
            "[...document.querySelectorAll('.chip')].forEach((chip) => chip.getAttribute('aria-pressed') === 'false' && chip.click())"
        )
        assert (await page.run(text(".happened"))).count("<img src=x") >= 9
        assert "\u202e" not in await page.run("document.body.innerText")
        assert await page.run(f"{count('main img')} + {count('main script')}") == 0
        assert await page.run("document.title") != "taken"
        await page.run("location.hash = '#/calls/" + "%22%3E%3Cimg src=x onerror=alert(1)%3E'")
        await page.until(f"{text('main')}.includes('cannot be shown')")
        assert await page.run(count("main img")) == 0
        assert_no_errors(page)


async def test_a_stream_that_breaks_comes_back_and_nothing_is_missed(page: Page, tmp_path: Path) -> None:
    async with api(tmp_path) as kit:
        await page.open(f"{kit.url}/console")
        await page.until(f"{text('#link')} === 'Live'")
        kit.hub.close()
        await page.until(f"{text('#link')}.startsWith('Reconnecting')")
        await kit.call("c1")
        kit.hub.is_closed = False
        await page.until(f"{text('#link')} === 'Live'")
        await page.until(f"{count('.past a')} === 1")
        # A tab that nobody looks at gives its stream back, and catches up afterwards.
        await page.run(
            "import('/console/api.js').then(({Live}) => { const told = window.told = [];"
            " const live = window.other = new Live((state) => told.push(state));"
            " live.listen((event) => told.push(event.kind), () => told.push('gap')); live.run(); })"
        )
        await page.until("told.includes('live')")
        kit.hub.publish("c1", "default", "seen", 0, {})
        await page.until("told.includes('seen')")
        await page.run("other.pause()")
        await until(lambda: asyncio.sleep(0, kit.hub.watchers == 1))
        kit.hub.publish("c1", "default", "missed", 0, {})
        await page.run("other.resume()")
        await page.until("told.includes('gap') && told.includes('missed')")
        assert await page.run("told.filter((one) => one === 'seen').length") == 1
        await page.run("other.close()")
        assert_no_errors(page)


async def test_a_timeline_is_built_from_entries_in_any_order(page: Page, tmp_path: Path) -> None:
    entries = [
        {"at_ms": 900, "kind": "utterance", "data": {"phase": "ended", "number": 1, "heard": "hi", "unheard": "there", "why": "yielded"}},
        {"at_ms": 100, "kind": "utterance", "data": {"phase": "started", "number": 1, "text": "hi there"}},
        {"at_ms": 600, "kind": "turn", "data": {"phase": "started", "turn": 1}},
        {"at_ms": 1200, "kind": "turn", "data": {"phase": "ended", "turn": 1, "text": "no", "why": "score"}},
        {"at_ms": 1300, "kind": "turn", "data": {"phase": "reopened", "turn": 1}},
        {"at_ms": 1900, "kind": "turn", "data": {"phase": "ended", "turn": 1, "text": "no wait", "why": "score"}},
        {"at_ms": 100, "kind": "floor", "data": {"before": "open", "after": "agent", "cause": "agent_started", "why": "utterance"}},
        {"at_ms": 700, "kind": "floor", "data": {"before": "agent", "after": "overlap", "cause": "caller_started", "why": "speech"}},
        {"at_ms": 900, "kind": "floor", "data": {"before": "overlap", "after": "yielding", "cause": "floor_taken", "why": "words"}},
        {"at_ms": 900, "kind": "overlap", "data": {"verdict": "barge_in", "ms": 280}},
        {"at_ms": 2400, "kind": "response", "data": {"latency_ms": 500}},
        {"at_ms": 3000, "kind": "tool", "data": {"name": "track", "ok": False, "took_ms": 200, "why": "timeout"}},
    ]  # fmt: skip
    async with api(tmp_path) as kit:
        await page.open(f"{kit.url}/console")
        module = "import('/console/timeline.js')"
        built = await page.run(f"{module}.then(({{build}}) => build({json.dumps(entries)}, 2500))")
        assert built["lengthMs"] == 3000
        (turn,), (said,), (tool,) = built["turns"], built["utterances"], built["tools"]
        assert (turn["start"], turn["end"], turn["text"]) == (600, 1900, "no wait")
        assert (said["start"], said["end"], said["heard"], said["unheard"]) == (100, 900, "hi", "there")
        assert (tool["start"], tool["end"]) == (2800, 3000)
        spans = [(span["start"], span["end"], span["state"]) for span in built["floor"]]
        assert spans == [(0, 100, "open"), (100, 700, "agent"), (700, 900, "overlap"), (900, 3000, "yielding")]
        assert [(one["start"], one["end"]) for one in built["stops"] + built["answers"]] == [(620, 900), (1900, 2400)]
        told = [*entries[:3], {"at_ms": 5, "kind": "note", "data": {"value": 1, "key": "a"}}]
        both = await page.run(
            f"{module}.then(({{merged}}) => merged({json.dumps(entries)}, {json.dumps(told)}).length)"
        )
        assert both == len(entries) + 1
        assert_no_errors(page)


async def test_a_call_that_moved_is_heard_on_from_file_to_file(page: Page, tmp_path: Path) -> None:
    async with api(tmp_path) as kit:
        await kit.call("c1", ended=False)
        for starts_ms, path in ((0, kit.recordings / "c1.wav"), (1500, kit.recordings / "c1-2.wav")):
            write_wav(path)
            ready = Event(
                name="recording.ready", at=2.0, data={"path": str(path), "truncated": False, "starts_ms": starts_ms}
            )
            await kit.store.update_call("c1", 1, {"answered_at": 1.0}, [ready], now=2.0)
        ended = Event(name="call.ended", at=3.0, data={})
        await kit.store.end_call(
            "c1", 1, result="success", reason="caller_hangup", data={"duration_s": 2.4}, event=ended, now=3.0
        )
        await page.open(f"{kit.url}/console#/calls/c1")
        await page.until(f"{count('.wave')} === 4")
        await page.run("document.querySelector('.scroll').focus()")
        await page.key("ArrowRight")
        assert "part=1" in await page.run("document.querySelector('audio').src")
        await page.key("ArrowRight")
        await page.until("document.querySelector('audio').src.includes('part=2')")
        await page.until("Math.abs(document.querySelector('audio').currentTime - 0.5) < 0.02")
        assert (await page.run(text(".reading"))).startswith("0:02.00")
        await page.key("Home")
        await page.key(" ", " ")
        await page.until(
            "document.querySelector('audio').src.includes('part=2') && document.querySelector('audio').currentTime > 0.1"
        )
        assert_no_errors(page)
