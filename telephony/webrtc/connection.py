"""One peer connection: ICE, DTLS-SRTP and a data channel, from an offer to the last packet.

aiortc's transports do the handshakes and SCTP; its senders, receivers and jitter buffer are not used. Media goes from
the socket through libsrtp to ``on_rtp`` in one call, and back out the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import Any

import pylibsrtp
from aiortc import RTCCertificate, RTCSctpTransport
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtcsctptransport import RTCSctpCapabilities

from telephony.errors import MediaError
from telephony.webrtc.ice import IceSettings, IceTransport
from telephony.webrtc.sdp import (
    SCTP_PORT,
    AudioFormat,
    Fragment,
    Local,
    Offer,
    build_answer,
    build_fragment,
    our_setup,
)

CONNECT_S = 15.0
"""From the answer to the end of the DTLS handshake; a peer that takes longer has gone."""
MAX_BUFFERED_BYTES = 64 * 1024
"""Live events that wait for a slow peer; beyond it new ones are dropped."""
MAX_HELD = 100
"""Live events that wait for the channel to open."""
MAX_MESSAGE_BYTES = 1024
_RTCP_TYPES = range(192, 224)  # RFC 5761 §4


class Handlers:
    """What a connection tells its owner; all in the event loop, none may block or raise."""

    def on_connected(self, connection: Connection) -> None: ...

    def on_rtp(self, connection: Connection, data: bytes) -> None: ...

    def on_rtcp(self, connection: Connection, data: bytes) -> None: ...

    def on_message(self, connection: Connection, text: str) -> None: ...

    def on_closed(self, connection: Connection, why: str) -> None:
        """``failed`` (never connected) or ``closed`` (the peer has closed DTLS, or ICE has lost it)."""


class Connection:
    """Serves one offer. ``prepare``, ``answer``, then ``run`` until it ends; ``close`` at any time."""

    def __init__(
        self, offer: Offer, audio: AudioFormat, *, settings: IceSettings, certificate: RTCCertificate, to: Handlers
    ) -> None:
        self.offer, self.audio = offer, audio
        self.ssrc = secrets.randbits(32)
        self.cname = secrets.token_hex(12)  # RFC 7022 §4.2
        self.connected = False
        self.dropped_events = 0
        self.undecryptable = 0
        self._to = to
        self._certificate = certificate
        self._ice = IceTransport(settings, self._media)
        # Not an ``RTCIceTransport`` by type, but by the three members that the DTLS transport uses.
        self._dtls = RTCDtlsTransport(self._ice, [certificate])  # type: ignore[arg-type]
        self._dtls._set_role("server" if our_setup(offer) == "passive" else "client")
        self._sctp: RTCSctpTransport | None = None
        self._channel: Any = None
        self._held: list[str] = []
        """Live events from before the channel was there."""
        self._closed = False
        self._ended = asyncio.Event()

    @property
    def received_at(self) -> float:
        """Loop time of the peer's last datagram of media or DTLS; 0 before the first."""
        return self._ice.received_at

    @property
    def foreign(self) -> int:
        """Datagrams from nobody that ICE knows, and packets that nobody with the keys has sent."""
        return self._ice.foreign + self.undecryptable

    async def prepare(self) -> None:
        """Bind sockets. Raises ``MediaError``."""
        await self._ice.gather()
        await self._ice.add_candidates(self.offer.candidates)

    def answer(self) -> str:
        """The answer to the offer, with all our candidates."""
        ice, candidates = self._ice.local
        fingerprints = {found.algorithm: found.value for found in self._certificate.getFingerprints()}
        local = Local(
            session_id=secrets.randbits(62),
            ice=ice,
            candidates=candidates,
            fingerprint=fingerprints["sha-256"],
            ssrc=self.ssrc,
            cname=self.cname,
        )
        return build_answer(self.offer, self.audio, local)

    async def run(self) -> None:
        """Connect and serve until the peer is gone or ``close`` was called. Raises nothing but cancellation."""
        why = "failed"
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._ice.connect(self.offer.ice)
                await self._dtls.start(
                    RTCDtlsParameters(
                        fingerprints=[RTCDtlsFingerprint(algorithm=a, value=v) for a, v in self.offer.fingerprints]
                    )
                )
            if self._dtls.state != "connected":
                return
            self.connected, why = True, "closed"
            if self.offer.data_at is not None:
                await self._open_data()
            self._to.on_connected(self)
            await self._until_closed()
        except (TimeoutError, ConnectionError, MediaError):
            pass  # told by ``on_closed``
        finally:
            if not self._closed:
                self._to.on_closed(self, why)
            await self.close()

    async def _until_closed(self) -> None:
        self._dtls.on("statechange", self._note_state)
        self._note_state()
        await self._ended.wait()

    def _note_state(self) -> None:
        if self._dtls.state != "connected":
            self._ended.set()

    async def _open_data(self) -> None:
        self._sctp = RTCSctpTransport(self._dtls, SCTP_PORT)
        self._sctp.on("datachannel", self._new_channel)
        await self._sctp.start(RTCSctpCapabilities(maxMessageSize=65536), self.offer.sctp_port)

    def _new_channel(self, channel: Any) -> None:
        if self._channel is not None and self._channel.readyState == "open":
            return  # one is enough: others stay unread
        self._channel = channel
        channel.on("message", self._message)
        held, self._held = self._held, []
        for text in held:
            self.send_text(text)

    def _message(self, data: str | bytes) -> None:
        if isinstance(data, str) and len(data) <= MAX_MESSAGE_BYTES:
            self._to.on_message(self, data)

    # --- media ---

    def _media(self, data: bytes) -> None:
        srtp = self._dtls._rx_srtp
        if srtp is None or len(data) < 8:
            return
        try:
            if data[1] in _RTCP_TYPES:
                self._to.on_rtcp(self, srtp.unprotect_rtcp(data))
            else:
                self._to.on_rtp(self, srtp.unprotect(data))
        except pylibsrtp.Error:
            self.undecryptable += 1

    def send_rtp(self, packet: bytes) -> bool:
        """Encrypt and send one packet; false while nobody is there."""
        return self.connected and not self._closed and self._ice.send_now(self._dtls._tx_srtp.protect(packet))

    def send_rtcp(self, packet: bytes) -> None:
        """Encrypt and send one compound packet."""
        if self.connected and not self._closed:
            self._ice.send_now(self._dtls._tx_srtp.protect_rtcp(packet))

    def send_text(self, text: str) -> None:
        """One message on the data channel, or nothing where there will be none or it does not keep up."""
        channel = self._channel
        if channel is None:
            self._hold(text)
            return
        if channel.readyState != "open":
            return
        if channel.bufferedAmount > MAX_BUFFERED_BYTES:
            self.dropped_events += 1
            return
        channel.send(text)

    def _hold(self, text: str) -> None:
        """The channel opens a round trip or two after the media: what is said first must not be lost to it."""
        if self.offer.data_at is None or len(self._held) >= MAX_HELD:
            self.dropped_events += 1
        else:
            self._held.append(text)

    # --- trickle and restart (RFC 9725 §4.3) ---

    async def trickle(self, fragment: Fragment) -> None:
        """More addresses of the peer."""
        await self._ice.add_candidates(fragment.candidates)

    async def restart(self, fragment: Fragment) -> str:
        """New credentials of the peer: ours, as an SDP fragment. ``finish_restart`` must follow."""
        assert fragment.ice is not None
        await self._ice.prepare_restart(fragment.ice, fragment.candidates)
        ice, candidates = self._ice.local
        return build_fragment(self.offer.lines[self.offer.audio_at].mid, ice, candidates)

    async def finish_restart(self) -> bool:
        """Move to the new addresses once they work; false when they never do (the old ones go on)."""
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._ice.finish_restart()
        except (TimeoutError, ConnectionError):
            return False
        return True

    def is_restart(self, fragment: Fragment) -> bool:
        """The fragment has credentials that differ from the ones in use."""
        return fragment.ice is not None and fragment.ice.ufrag != self._ice.remote_ufrag

    async def close(self) -> None:
        """Tell the peer, free everything; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._ended.set()
        with contextlib.suppress(ConnectionError):
            if self._sctp is not None:
                await self._sctp.stop()
            await self._dtls.stop()
        await self._ice.close()
        for emitter in (self._dtls, self._sctp, self._channel):
            if emitter is not None:
                emitter.remove_all_listeners()


def new_certificate() -> RTCCertificate:
    """A self-signed one, for the life of the process (30 days): DTLS pins it by the fingerprint in the answer."""
    return RTCCertificate.generateCertificate()
