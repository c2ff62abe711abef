"""The one table of names: how Twilio, Telnyx and Plivo call the same things in the frames of a media stream. Pure.

Sources: Twilio "Media Streams: WebSocket Messages", Telnyx "Stream call media over WebSocket" (AsyncAPI), Plivo
"Audio Streaming".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Path = tuple[str, ...]
"""Keys from the root of a message to a value."""


class Kind(StrEnum):
    """What a message from the carrier is about."""

    CONNECTED = "connected"
    START = "start"
    MEDIA = "media"
    MARK = "mark"
    CLEARED = "cleared"
    DTMF = "dtmf"
    STOP = "stop"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Names of one carrier's frames."""

    name: str
    kinds: Mapping[str, Kind]
    """``event`` of messages that come."""
    says_connected: bool
    """``connected`` comes before ``start``."""
    is_ordered: bool
    """Messages come in the order of their numbers; otherwise media may overtake."""
    signs_upgrade: bool
    """The WebSocket's upgrade request carries ``X-Twilio-Signature``."""
    stream_id: Path
    call_id: Path
    account_id: Path
    parameters: Path
    """An object of texts, or a text of ``name=value`` pairs."""
    encoding: Path
    rate: Path
    sequence: Path
    chunk: Path = ("media", "chunk")
    timestamp: Path = ("media", "timestamp")
    payload: Path = ("media", "payload")
    track: Path = ("media", "track")
    digit: Path = ("dtmf", "digit")
    mark_name: Path
    """Of marks that come and of marks that go."""
    media_event: str
    media_extra: Mapping[str, str | int]
    """Fields beside the payload."""
    media_has_stream_id: bool
    mark_event: str
    clear_event: str
    stream_id_key: str
    """Key of the stream's name in messages that go; empty: they carry none."""
    subprotocol: str = ""
    """``Sec-WebSocket-Protocol`` that the carrier asks for."""


TWILIO = Dialect(
    name="twilio",
    kinds={
        "connected": Kind.CONNECTED,
        "start": Kind.START,
        "media": Kind.MEDIA,
        "mark": Kind.MARK,
        "dtmf": Kind.DTMF,
        "stop": Kind.STOP,
    },
    says_connected=True,
    is_ordered=True,
    signs_upgrade=True,
    stream_id=("streamSid",),
    call_id=("start", "callSid"),
    account_id=("start", "accountSid"),
    parameters=("start", "customParameters"),
    encoding=("start", "mediaFormat", "encoding"),
    rate=("start", "mediaFormat", "sampleRate"),
    sequence=("sequenceNumber",),
    mark_name=("mark", "name"),
    media_event="media",
    media_extra={},
    media_has_stream_id=True,
    mark_event="mark",
    clear_event="clear",
    stream_id_key="streamSid",
)

TELNYX = Dialect(
    name="telnyx",
    kinds={
        "connected": Kind.CONNECTED,
        "start": Kind.START,
        "media": Kind.MEDIA,
        "mark": Kind.MARK,
        "dtmf": Kind.DTMF,
        "stop": Kind.STOP,
        "error": Kind.ERROR,
    },
    says_connected=True,
    is_ordered=False,
    signs_upgrade=False,
    stream_id=("stream_id",),
    call_id=("start", "call_control_id"),
    account_id=("start", "user_id"),
    parameters=("start", "custom_parameters"),
    encoding=("start", "media_format", "encoding"),
    rate=("start", "media_format", "sample_rate"),
    sequence=("sequence_number",),
    mark_name=("mark", "name"),
    media_event="media",
    media_extra={},
    media_has_stream_id=False,
    mark_event="mark",
    clear_event="clear",
    stream_id_key="",
)

PLIVO = Dialect(
    name="plivo",
    kinds={
        "start": Kind.START,
        "media": Kind.MEDIA,
        "playedStream": Kind.MARK,
        "clearedAudio": Kind.CLEARED,
        "dtmf": Kind.DTMF,
        "stop": Kind.STOP,
    },
    says_connected=False,
    is_ordered=True,
    signs_upgrade=False,
    stream_id=("start", "streamId"),
    call_id=("start", "callId"),
    account_id=("start", "accountId"),
    parameters=("extra_headers",),
    encoding=("start", "mediaFormat", "encoding"),
    rate=("start", "mediaFormat", "sampleRate"),
    sequence=("sequenceNumber",),
    mark_name=("name",),
    media_event="playAudio",
    media_extra={"contentType": "audio/x-mulaw", "sampleRate": 8000},
    media_has_stream_id=False,
    mark_event="checkpoint",
    clear_event="clearAudio",
    stream_id_key="streamId",
    subprotocol="audio.plivo.com",
)

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (TWILIO, TELNYX, PLIVO)}

ENCODINGS: Mapping[str, bool] = {
    "audio/x-mulaw": False,
    "audio/x-alaw": True,
    "PCMU": False,
    "PCMA": True,
}
"""``encoding`` of the media format to whether it is A-law; anything else is refused."""
