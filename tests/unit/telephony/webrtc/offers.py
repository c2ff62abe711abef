"""Offers for tests: what browsers send, with parts to change."""

from __future__ import annotations

ICE = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef012345\r\n"
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"


def chrome(
    *,
    audio: str = "111 63 9 0 8 13 110 126",
    ice: str = ICE,
    fingerprint: str = FINGERPRINT,
    setup: str = "actpass",
    bundle: str = "BUNDLE 0 1",
    candidates: str = "a=candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host generation 0 network-id 1\r\n",
    extra: str = "",
) -> str:
    """Chromium's offer of one microphone and one data channel."""
    transport = f"{ice}a=ice-options:trickle\r\n{fingerprint}a=setup:{setup}\r\n"
    return (
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
        f"a=group:{bundle}\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS x\r\n"
        f"m=audio 9 UDP/TLS/RTP/SAVPF {audio}\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
        f"{candidates}{transport}a=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\n"
        "a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n"
        "a=rtpmap:63 red/48000/2\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
        "a=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n"
        f"a=ssrc:1 cname:x\r\n{extra}"
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n"
        f"{transport}a=mid:1\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n"
    )
