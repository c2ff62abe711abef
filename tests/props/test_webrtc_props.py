"""What strangers send to the WebRTC door: never anything but an answer or a refusal that names its rule."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.errors import RemoteProtocolError
from telephony.webrtc.sdp import (
    IceCandidate,
    IceCredentials,
    Local,
    build_answer,
    build_fragment,
    choose,
    parse_fragment,
    parse_offer,
)
from telephony.webrtc.servers import check_url
from telephony.webrtc.token import OFFER, Refusal, Tokens
from tests.unit.telephony.webrtc.offers import chrome

LOCAL = Local(
    session_id=1,
    ice=IceCredentials(ufrag="abcd", password="p" * 22),
    candidates=(),
    fingerprint="AA",
    ssrc=1,
    cname="c",
)
LINES = tuple(chrome().split("\r\n"))
anything = st.text(st.characters(), max_size=60)
"""Lone surrogates too: JSON can carry them."""
pieces = st.sampled_from(LINES) | anything | st.from_regex(r"a=[a-z-]{1,20}:[ -~]{0,40}", fullmatch=True)


def check(error: RemoteProtocolError) -> None:
    """A refusal that a client can read."""
    assert error.rule
    assert 400 <= error.status_hint < 500


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=60), st.sampled_from(["\r\n", "\n", "\r"]))
def test_any_lines_are_answered_or_refused_by_rule(lines: list[str], end: str) -> None:
    try:
        offer = parse_offer(end.join(lines))
        answer = build_answer(offer, choose(offer, ("opus", "PCMU")), LOCAL)
    except RemoteProtocolError as error:
        check(error)
    else:
        assert sum(line.startswith("m=") for line in answer.split("\r\n")) == len(offer.lines)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_offer_is_answered_or_refused_by_rule(data: st.DataObject) -> None:
    """An answer has no line that the offer could have put in: every value is checked before it is repeated."""
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = data.draw(st.sampled_from([lines[at][:-1], lines[at] + "\x00", "", lines[at] * 3, "m=audio 9 X 0"]))
    try:
        offer = parse_offer("\r\n".join(lines))
        answer = build_answer(offer, choose(offer, ("opus", "PCMU", "PCMA")), LOCAL)
    except RemoteProtocolError as error:
        check(error)
    else:
        assert all(line[1] == "=" and line.isprintable() for line in answer.split("\r\n")[:-1])


@settings(deadline=None)
@given(st.text(st.characters(), max_size=400))
def test_any_fragment_is_read_or_refused(text: str) -> None:
    try:
        parse_fragment(text)
    except RemoteProtocolError as error:
        check(error)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            IceCandidate,
            foundation=st.from_regex(r"[a-z0-9]{1,32}", fullmatch=True),
            priority=st.integers(0, 2**31 - 1),
            host=st.ip_addresses().map(str),
            port=st.integers(1, 65535),
            kind=st.sampled_from(["host", "srflx", "relay"]),
        ),
        max_size=5,
    )
)
def test_candidates_survive_writing_and_reading(candidates: list[IceCandidate]) -> None:
    text = build_fragment("0", LOCAL.ice, tuple(candidates))
    assert parse_fragment(text).candidates == tuple(candidates)


@settings(deadline=None)
@given(st.text(st.characters(), max_size=120))
def test_no_text_is_a_token_but_ours(text: str) -> None:
    assert isinstance(Tokens(b"s" * 32).check(text, kind=OFFER, now=0.0), Refusal)


@settings(deadline=None)
@given(st.text(st.characters(), max_size=80))
def test_any_server_url_is_judged(url: str) -> None:
    assert check_url(url) is None or isinstance(check_url(url), str)
