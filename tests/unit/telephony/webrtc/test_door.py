"""The door on loopback with aiortc as its caller: media both ways, keys, resuming, and every refusal."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

pytest.importorskip("aiortc", reason="the extra 'webrtc' is not installed")

from telephony.webrtc.token import RESUME
from tests.unit.telephony.webrtc.offers import chrome
from tests.unit.telephony.webrtc.world import Caller, FakeCall, World, token, until, world

TONE_HZ = 440


@pytest.fixture(autouse=True)
def loopback_only() -> Iterator[None]:
    """aiortc leaves loopback out of its addresses; these callers know nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
        yield


@pytest_asyncio.fixture
async def here() -> AsyncIterator[World]:
    async with world() as running:
        yield running


def tone(seconds: float, hz: float = TONE_HZ) -> NDArray[np.int16]:
    return (8000 * np.sin(2 * np.pi * hz * np.arange(int(seconds * 8000)) / 8000)).astype(np.int16)


def pitch(pcm: NDArray[np.int16]) -> float:
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * 8000 / len(pcm))


async def connected(here: World, caller: Caller) -> tuple[FakeCall, dict[str, str]]:
    status, body = await here.post_offer(sdp=await caller.offer(), token=here.token())
    assert status == 200, body
    await caller.accept(body["sdp"])
    call = here.desk.calls[-1]
    await asyncio.wait_for(call.open.wait(), 5.0)
    return call, body


async def play(call: FakeCall, pcm: NDArray[np.int16]) -> None:
    """What the edge's tick does."""
    start = asyncio.get_running_loop().time()
    for n in range(len(pcm) // 160):
        await asyncio.sleep(max(0.0, start + n * 0.02 - asyncio.get_running_loop().time()))
        call.peer.play(pcm[n * 160 : (n + 1) * 160], n)


@pytest.mark.parametrize("codecs", [("opus",), ("PCMU",), ("PCMA",)])
async def test_both_hear_each_other_in_every_codec(here: World, codecs: tuple[str, ...]) -> None:
    caller = Caller(tone(3.0), codecs=codecs)
    call, _ = await connected(here, caller)
    await play(call, tone(1.0, 700))
    assert pitch(call.heard[1600:6400]) == pytest.approx(TONE_HZ, abs=5)
    assert pitch(caller.heard[3200:6400]) == pytest.approx(700, abs=5)
    assert call.peer.counters()["lost"] == 0
    await caller.close()
    await asyncio.wait_for(call.over.wait(), 3.0)
    assert ("end", "caller", "bye") in call.told
    await until(lambda: not here.door._tasks)
    assert not here.door._peers
    assert not here.door._by_leg


async def test_events_go_out_and_keys_come_in(here: World) -> None:
    caller = Caller(tone(0.1))
    call, _ = await connected(here, caller)
    call.peer.notify(40, "words", {"text": "hello"})
    await until(lambda: caller.messages and caller.channel.readyState == "open")
    assert json.loads(caller.messages[0]) == {"at_ms": 40, "kind": "words", "data": {"text": "hello"}}
    for text in ('{"type":"dtmf","digit":"5"}', "{", "[]", '{"type":"dtmf"}', '{"type":"dtmf","digit":7}', "x" * 5000):
        caller.channel.send(text)
    caller.channel.send('{"type":"bye"}')
    await asyncio.wait_for(call.over.wait(), 3.0)
    assert [told for told in call.told if told[0] == "key"] == [("key", "5")]
    await caller.close()


async def test_what_is_told_before_the_channel_opens_comes_in_order(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The greeting begins with the media; the channel follows a round trip or two later."""
    monkeypatch.setattr("telephony.webrtc.connection.MAX_HELD", 3)
    caller = Caller(tone(0.1))
    status, body = await here.post_offer(sdp=await caller.offer(), token=here.token())
    assert status == 200
    call = here.desk.calls[0]
    connection = call.peer.pending
    assert connection is not None
    for n in range(5):
        connection.send_text(str(n))
    await caller.accept(body["sdp"])
    await until(lambda: len(caller.messages) >= 3)
    assert caller.messages == ["0", "1", "2"]
    assert connection.dropped_events == 2
    await caller.close()


async def test_too_many_keys_a_second_are_ignored(here: World) -> None:
    caller = Caller(tone(0.1))
    call, _ = await connected(here, caller)
    for _ in range(100):
        call.peer.on_message(call.peer.connection, '{"type":"dtmf","digit":"1"}')  # type: ignore[arg-type]
    assert len([told for told in call.told if told[0] == "key"]) <= 20
    await caller.close()


async def test_a_lost_caller_comes_back_into_the_same_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """On hold after a while without a packet; the resume token puts a new connection under the call."""
    monkeypatch.setattr("telephony.webrtc.peer.LOST_AFTER_S", 0.6)
    async with world(resume_s=6.0) as here:
        caller = Caller(tone(30.0))
        call, body = await connected(here, caller)
        former = call.peer.connection
        assert former is not None
        former._ice._on_media = lambda data: None  # the network is gone, one way
        former._ice._agent.deliver = lambda data, source: None  # type: ignore[method-assign]
        await play(call, np.zeros(160 * 75, np.int16))
        assert ("hold", True) in call.told
        again = Caller(tone(30.0, 900))
        status, answer = await here.post_offer(sdp=await again.offer(), resume_token=body["resume_token"])
        assert status == 200
        assert answer["leg_id"] == body["leg_id"]
        await again.accept(answer["sdp"])
        await until(lambda: call.peer.connection not in (None, former))
        call.audio.clear()
        await play(call, tone(0.8, 700))
        assert call.told[-1] == ("hold", False)
        assert pitch(call.heard[1600:5600]) == pytest.approx(900, abs=5)
        assert len(here.desk.calls) == 1
        assert not call.is_over
        status, problem = await here.post_offer(sdp=await again.offer(), resume_token=body["resume_token"])
        assert (status, problem["rule"]) == (409, "token-used")
        await again.close()
        await caller.close()


async def test_nobody_comes_back_and_the_call_ends() -> None:
    async with world(resume_s=1.0) as here:
        caller = Caller(tone(30.0))
        call, body = await connected(here, caller)
        assert call.peer.connection is not None
        call.peer.connection._ice._agent.deliver = lambda data, source: None  # type: ignore[method-assign]
        await play(call, np.zeros(160 * 76, np.int16))
        assert ("end", "network", "media_timeout") in call.told
        status, problem = await here.post_offer(sdp=chrome(), resume_token=body["resume_token"])
        assert (status, problem["rule"]) == (410, "call-over")
        await caller.close()


async def test_a_peer_that_never_connects_ends_its_call(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.webrtc.connection.CONNECT_S", 0.3)
    status, _ = await here.post_offer(sdp=chrome(candidates=""), token=here.token())
    assert status == 200
    call = here.desk.calls[0]
    await asyncio.wait_for(call.over.wait(), 3.0)
    assert call.told == [("end", "network", "no_ack")]
    await until(lambda: not here.door._tasks)
    assert not here.door._peers


async def test_a_certificate_that_was_not_announced_is_refused(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.webrtc.connection.CONNECT_S", 1.5)
    caller = Caller(tone(0.1))
    offer = await caller.offer()
    announced = re.findall(r"a=fingerprint:sha-\d+ ([0-9A-F]{2})", offer)
    sdp = re.sub(r"(a=fingerprint:sha-\d+ )[0-9A-F]{2}", rf"\g<1>{'AB' if announced[0] != 'AB' else 'CD'}", offer)
    status, body = await here.post_offer(sdp=sdp, token=here.token())
    assert status == 200
    await caller.accept(body["sdp"])
    await asyncio.wait_for(here.desk.calls[0].over.wait(), 4.0)
    assert not here.desk.calls[0].open.is_set()
    await caller.close()


@pytest.mark.parametrize(
    ("body", "status", "rule"),
    [
        ({}, 400, "malformed"),
        ({"sdp": 5}, 400, "malformed"),
        ({"sdp": chrome()}, 401, "token-missing"),
        ({"sdp": chrome(), "token": "nonsense"}, 401, "token-invalid"),
        ({"sdp": chrome(), "token": token(ttl_s=-1)}, 401, "token-expired"),
        ({"sdp": chrome(), "token": token(kind=RESUME, ttl_s=3600)}, 401, "token-invalid"),
        ({"sdp": chrome(), "resume_token": token(kind=RESUME, subject="ab", ttl_s=3600)}, 410, "call-over"),
        ({"sdp": "v=0\r\n", "token": token(ttl_s=3600)}, 422, "no-audio"),
        ({"sdp": chrome(audio="63"), "token": token(ttl_s=3600)}, 422, "no-codec"),
        ({"sdp": chrome(extra="a=x:" + "y" * 40000 + "\r\n"), "token": token(ttl_s=3600)}, 413, "too-large"),
    ],
)
async def test_a_bad_offer_is_refused_with_its_rule(
    here: World, body: dict[str, object], status: int, rule: str
) -> None:
    found, problem = await here.post_offer(**body)
    assert (found, problem["rule"], problem["status"]) == (status, rule, status)
    assert here.desk.refusals == [rule]
    assert not here.desk.calls


async def test_an_offer_that_stalls_is_not_waited_for(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.webrtc.door.BODY_S", 0.1)

    async def stalls() -> AsyncIterator[bytes]:
        yield b'{"sdp":'
        await asyncio.sleep(0.5)

    async with here.http.post(f"{here.url}/v1/webrtc/offer", data=stalls()) as answer:
        assert (answer.status, (await answer.json())["rule"]) == (408, "too-slow")
    assert here.desk.refusals == ["too-slow"]


async def test_one_token_is_for_one_offer(here: World) -> None:
    used = here.token()
    answers = await asyncio.gather(*(here.post_offer(sdp=chrome(), token=used) for _ in range(2)))
    assert sorted(status for status, _ in answers) == [200, 409]
    assert len(here.desk.calls) == 1


async def test_two_resumes_at_once_are_one_too_many(here: World) -> None:
    caller = Caller(tone(5.0))
    call, _ = await connected(here, caller)
    bodies = [{"sdp": chrome(candidates=""), "resume_token": here.door._resume_token(call.leg_id)} for _ in range(2)]
    answers = await asyncio.gather(*(here.post_offer(**body) for body in bodies))
    assert sorted((status, body.get("rule")) for status, body in answers) == [(200, None), (409, "offer-pending")]
    await caller.close()


async def test_a_full_house_says_when_to_come_back(here: World) -> None:
    here.desk.refusal = (503, "all streams are in use")
    async with here.http.post(f"{here.url}/v1/webrtc/offer", json={"sdp": chrome(), "token": here.token()}) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(("sip", "http"), [(503, 503), (486, 503), (603, 403)])
async def test_the_front_refuses_in_http_terms(here: World, sip: int, http: int) -> None:
    here.desk.refuse_with = (sip, "no", None)
    status, problem = await here.post_offer(sdp=chrome(), token=here.token())
    assert (status, problem["rule"]) == (http, "refused")
    assert not here.door._peers


async def test_whip_publishes_trickles_and_deletes(here: World) -> None:
    caller = Caller(tone(3.0))
    sdp = await caller.offer()
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {here.token()}"}
    bare = "\r\n".join(line for line in sdp.split("\r\n") if not line.startswith("a=candidate"))
    async with here.http.post(f"{here.url}/v1/webrtc/whip", data=bare, headers=headers) as answer:
        assert (answer.status, answer.content_type) == (201, "application/sdp")
        location, etag = answer.headers["Location"], answer.headers["ETag"]
        await caller.accept(await answer.text())
    candidates = "\r\n".join(line for line in sdp.split("\r\n") if line.startswith("a=candidate"))
    patch = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": etag}
    async with here.http.patch(f"{here.url}{location}", data=f"a=mid:0\r\n{candidates}\r\n", headers=patch) as answer:
        assert answer.status == 204
    call = here.desk.calls[0]
    await asyncio.wait_for(call.open.wait(), 5.0)
    async with here.http.patch(f"{here.url}{location}", data=candidates, headers=patch | {"If-Match": '"x"'}) as answer:
        assert answer.status == 412
    async with here.http.patch(f"{here.url}{location}", data="x", headers={"Content-Type": "text/plain"}) as answer:
        assert answer.status == 415
    async with here.http.delete(f"{here.url}{location}") as answer:
        assert answer.status == 200
    assert ("end", "caller", "bye") in call.told
    await until(lambda: not here.door._peers)
    async with here.http.delete(f"{here.url}{location}") as answer:
        assert answer.status == 200, "a client whose connection closes first has done nothing wrong"
    async with here.http.delete(f"{here.url}/v1/webrtc/whip/{'0' * 32}") as answer:
        assert answer.status == 404
    await caller.close()


async def test_whip_refuses_what_is_no_sdp_or_has_no_token(here: World) -> None:
    async with here.http.post(f"{here.url}/v1/webrtc/whip", data="x", headers={"Content-Type": "text/plain"}) as answer:
        assert answer.status == 415
    async with here.http.post(
        f"{here.url}/v1/webrtc/whip", data=chrome(), headers={"Content-Type": "application/sdp"}
    ) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    async with here.http.options(f"{here.url}/v1/webrtc/whip") as answer:
        assert answer.headers["Accept-Post"] == "application/sdp"


async def test_ice_restarts_under_a_running_call(here: World) -> None:
    """New credentials on both sides (RFC 9725 §4.3.3); DTLS and the call go on."""
    caller = Caller(tone(20.0))
    call, body = await connected(here, caller)
    from aioice import Connection

    fresh = Connection(ice_controlling=True)
    await fresh.gather_candidates()
    lines = [f"a=ice-ufrag:{fresh.local_username}", f"a=ice-pwd:{fresh.local_password}"]
    lines += [f"a=candidate:{one.to_sdp()}" for one in fresh.local_candidates]
    headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"}
    async with here.http.patch(f"{here.url}{body['resource']}", data="\r\n".join(lines), headers=headers) as answer:
        assert answer.status == 200
        text = await answer.text()
    from aioice import Candidate

    values = dict(line[2:].split(":", 1) for line in text.split("\r\n") if line.startswith("a=") and ":" in line)
    fresh.remote_username, fresh.remote_password = values["ice-ufrag"], values["ice-pwd"]
    await fresh.add_remote_candidate(Candidate.from_sdp(values["candidate"]))
    await fresh.add_remote_candidate(None)
    await fresh.connect()
    connection = call.peer.connection
    assert connection is not None
    await until(lambda: connection._ice._agent.local_username == values["ice-ufrag"])
    call.peer.play(tone(0.02), 0)
    packet = await asyncio.wait_for(fresh.recv(), 2.0)
    assert packet[0] == 0x80, "media goes to the new address"
    assert not call.is_over
    await fresh.close()
    await caller.close()


async def test_closing_the_door_ends_everything() -> None:
    async with world() as here:
        caller = Caller(tone(3.0))
        call, _ = await connected(here, caller)
    assert not here.door._tasks
    assert call.peer.connection is None
    await caller.close()
