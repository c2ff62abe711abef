"""Offer and answer for one audio stream of G.711 with telephone-event (RFC 3264, RFC 4733 §2.1).

``AudioSession`` is our side of one dialog: it writes our offers and answers, keeps the version rule of RFC 3264 §8
(one more only when the text changes) and knows what was agreed. It changes nothing when it raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from telephony.errors import RemoteProtocolError
from telephony.sdp.session import Flow, Media, SessionDescription, build

Codec = Literal["PCMU", "PCMA"]
CODECS: dict[str, int] = {"PCMU": 0, "PCMA": 8}
DTMF_PAYLOAD_TYPE = 101
"""Ours, in offers; an answer uses the offer's."""
_MIRROR = {
    Flow.SENDRECV: Flow.SENDRECV,
    Flow.SENDONLY: Flow.RECVONLY,
    Flow.RECVONLY: Flow.SENDONLY,
    Flow.INACTIVE: Flow.INACTIVE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What both sides know after an answer."""

    codec: Codec
    payload_type: int
    dtmf_payload_type: int | None
    remote: tuple[str, int] | None
    """``None`` after an old-style hold (``c=0.0.0.0``): there is nowhere to send."""
    ptime_ms: int
    send: bool
    """We may send: the peer receives and we have not put it on hold with ``inactive``."""
    receive: bool
    """The peer sends."""

    @property
    def held(self) -> bool:
        """Whether the peer holds us (RFC 3264 §8.4)."""
        return not self.send


class AudioSession:
    """Our end of one dialog's audio. ``host`` and ``port`` are what the peer is told for RTP."""

    def __init__(self, *, host: str, port: int, session_id: str) -> None:
        self.host, self.port = host, port
        self.flow = Flow.SENDRECV
        """What we want; an offer carries it, an answer narrows it."""
        self.agreed: Agreed | None = None
        self._session_id = session_id
        self._version = 0
        self._sections: list[list[str]] | None = None
        self._offered: tuple[str, ...] = tuple(CODECS)

    def offer(self, flow: Flow | None = None) -> bytes:
        """Our offer; a later one names only the agreed codec, so that nothing but the direction can change."""
        self.flow = flow or self.flow
        names = self._offered if self.agreed is None else (self.agreed.codec,)
        numbers: dict[str, int] = {name: CODECS[name] for name in names}
        dtmf: int | None = DTMF_PAYLOAD_TYPE
        if self.agreed is not None:
            numbers = {self.agreed.codec: self.agreed.payload_type}
            dtmf = self.agreed.dtmf_payload_type
        return self._write([self._audio(numbers, dtmf, ptime_ms=20, flow=self.flow, protocol="RTP/AVP")])

    def answer(self, offer: SessionDescription) -> tuple[bytes, Agreed]:
        """Our answer; raises ``RemoteProtocolError`` (488) where no m-line can be taken."""
        index, agreed = choose(offer)
        chosen = offer.media[index]
        flow = _narrow(_MIRROR[chosen.flow], self.flow)
        if agreed.remote is None:  # old-style hold (RFC 3264 §8.4)
            flow = Flow.INACTIVE if chosen.flow is Flow.INACTIVE else Flow.RECVONLY
        sections = []
        for number, media in enumerate(offer.media):
            if number == index:
                sections.append(
                    self._audio(
                        {agreed.codec: agreed.payload_type},
                        agreed.dtmf_payload_type,
                        agreed.ptime_ms,
                        flow,
                        chosen.protocol,
                    )
                )
            else:
                sections.append([f"m={media.kind} 0 {media.protocol} {' '.join(media.formats) or '0'}"])
        agreed = _with_flow(agreed, ours=flow, theirs=chosen.flow)
        body = self._write(sections)
        self.agreed = agreed
        return body, agreed

    def accept(self, answer: SessionDescription) -> Agreed:
        """The peer's answer to our offer; raises ``RemoteProtocolError`` (488) where it is none."""
        index, agreed = choose(answer)
        self.agreed = _with_flow(agreed, ours=self.flow, theirs=answer.media[index].flow)
        return self.agreed

    def _audio(self, numbers: dict[str, int], dtmf: int | None, ptime_ms: int, flow: Flow, protocol: str) -> list[str]:
        formats = [str(number) for number in numbers.values()] + ([str(dtmf)] if dtmf is not None else [])
        lines = [f"m=audio {self.port} {protocol} {' '.join(formats)}"]
        lines += [f"a=rtpmap:{number} {name}/8000" for name, number in numbers.items()]
        if dtmf is not None:
            lines += [f"a=rtpmap:{dtmf} telephone-event/8000", f"a=fmtp:{dtmf} 0-15"]
        return [*lines, f"a=ptime:{ptime_ms}", f"a={flow}"]

    def _write(self, sections: list[list[str]]) -> bytes:
        if sections != self._sections:
            self._version += 1
            self._sections = sections
        return build(session_id=self._session_id, version=self._version, host=self.host, media=sections)


def choose(description: SessionDescription) -> tuple[int, Agreed]:
    """Index of the m-line that we take and the first of its codecs that we know; raises 488 if there is none."""
    for index, media in enumerate(description.media):
        if not media.is_plain_audio:
            continue
        for number, name, rate in media.codecs:
            if name in CODECS and rate == 8000:
                return index, _agree(media, cast("Codec", name), number)
    kinds = {(media.kind, media.protocol) for media in description.media if media.port}
    rule = "sdp-no-codec" if ("audio", "RTP/AVP") in kinds else "sdp-no-plain-audio"
    raise RemoteProtocolError("SDP: no G.711 audio over RTP/AVP", rule=rule, status_hint=488)


def _agree(media: Media, codec: Codec, number: int) -> Agreed:
    events = [pt for pt, name, rate in media.codecs if name == "TELEPHONE-EVENT" and rate == 8000]
    on_hold = media.host in {"0.0.0.0", "::"}  # an address that means hold, not one to bind to
    return Agreed(
        codec=codec,
        payload_type=number,
        dtmf_payload_type=events[0] if events else None,
        remote=None if on_hold else (media.host, media.port),
        ptime_ms=_packet_time(media),
        send=True,
        receive=True,
    )


def _packet_time(media: Media) -> int:
    """The multiple of 20 ms, 20 to 60, nearest below what the peer asks for (RFC 8866 §6.4)."""
    wanted = min(media.ptime_ms or 20, media.maxptime_ms or 60, 60)
    return max(20, wanted // 20 * 20)


def _narrow(most: Flow, wanted: Flow) -> Flow:
    sends, receives = most.sends and wanted.sends, most.receives and wanted.receives
    if sends:
        return Flow.SENDRECV if receives else Flow.SENDONLY
    return Flow.RECVONLY if receives else Flow.INACTIVE


def _with_flow(agreed: Agreed, *, ours: Flow, theirs: Flow) -> Agreed:
    send = ours.sends and theirs.receives and agreed.remote is not None
    # A holding peer's music is not for the agent, and its silence must not end the call: both rest together.
    receive = ours.receives and theirs.sends and send
    return Agreed(
        codec=agreed.codec,
        payload_type=agreed.payload_type,
        dtmf_payload_type=agreed.dtmf_payload_type,
        remote=agreed.remote,
        ptime_ms=agreed.ptime_ms,
        send=send,
        receive=receive,
    )
