"""The Door protocol: how a kind of stream (audio and signalling over one socket) is plugged into the stream edge.

A **door** is an object with routes of the edge's one HTTP server. For each connection that is a call it makes a
``Peer`` (its own class: the far end) and gives it to ``Desk.offer`` with what is known of the caller; back comes a
``Call``. From then on there are two directions, all in the edge's event loop, and nothing may block or raise:

====================  ====================================================================================
the door calls        when
====================  ====================================================================================
``call.opened()``     after ``peer.answered()``, as soon as audio can flow both ways (often at once)
``call.hear(pcm)``    caller audio has come: PCM16, 8 kHz, any length, any burst; before ``opened`` it is dropped
``call.key(digit)``   the caller pressed a key
``call.hold(held)``   the far end holds us: the row rests on both sides, nothing times out
``call.mute(muted)``  the caller's microphone is off: the row hears silence, the agent goes on
``call.append(...)``  the client gives the agent a text (to say, to know, to follow)
``call.transfer(…)``  news of a transfer that the front asked for
``call.confirm(n)``   only with ``confirms``: agent frames below ``n`` were played at the far end (marks)
``call.end(...)``     the far end is gone; the last call on the object
====================  ====================================================================================

====================  ====================================================================================
the edge calls        what the peer does
====================  ====================================================================================
``peer.answered()``   the call is accepted: say so, then ``call.opened()``
``peer.refused(...)`` the call is refused (SIP status and words): say so in the door's terms and close
``peer.play(pcm, n)`` 20 ms of agent audio ``[160]`` int16 at 8 kHz, one per tick, silence included; ``n`` is its frame
                      number in the claim, -1 for silence that only fills the far end's buffer
``peer.clear()``      the agent was cut: drop what the far end has not played. Nothing older is played after it
``peer.send_dtmf()``  send keys; raises ``MediaError`` where the door cannot
``peer.transfer()``   begin a transfer; raises ``MediaError`` where the door cannot
``peer.notify(...)``  live events of the session (words, floor, heard text …) for the client
``peer.ended(...)``   the call is over on our side: say so and close. Not called after ``call.end``
``peer.unsent``       frames given to ``play`` that have not left the process (a slow socket)
====================  ====================================================================================

**What counts as played.** The edge reports agent frames as played when they were handed to ``play`` ``lead_ms`` ago and
have left the process. ``lead_ms`` is the send-ahead: that much silence is played first after ``opened`` and after each
``clear``, so that a far end that plays what it gets at once has something in hand. With ``confirms`` a frame must also
have been confirmed; a confirmation that is 300 ms late is not waited for.

A door is constructed with its options (a JSON object from the configuration) and listed in ``DOORS`` of
``telephony.stream_process``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from telephony.events import TransferOutcome


class Peer(Protocol):
    """The far end of one call; see the module's tables."""

    @property
    def unsent(self) -> int: ...

    def answered(self) -> None: ...

    def refused(self, status: int, reason: str, retry_after_s: int | None) -> None: ...

    def play(self, pcm: NDArray[np.int16], frame_no: int) -> None: ...

    def clear(self) -> None: ...

    def send_dtmf(self, digits: str) -> None: ...

    def transfer(self, target: str) -> None: ...

    def notify(self, at_ms: int, kind: str, data: dict[str, Any]) -> None: ...

    def ended(self, reason: str) -> None: ...


@runtime_checkable
class CountsPackets(Protocol):
    """A ``Peer`` below which there are packets: it knows better than the edge what was lost."""

    def counters(self) -> dict[str, Any]:
        """Fields of ``MediaQuality`` that replace the edge's own."""
        ...


class Call(Protocol):
    """One call as its door sees it; see the module's tables."""

    @property
    def leg_id(self) -> str: ...

    @property
    def is_over(self) -> bool: ...

    @property
    def media_ms(self) -> int:
        """Since ``opened``."""
        ...

    def opened(self) -> None: ...

    def hear(self, pcm: NDArray[np.int16]) -> None: ...

    def key(self, digit: str, duration_ms: int = 100) -> None: ...

    def hold(self, held: bool) -> None: ...

    def mute(self, muted: bool) -> None: ...

    def append(self, channel: str, text: str) -> None:
        """``channel``: ``commentary`` (to be said), ``thinking`` (to know), ``instructions`` (to follow)."""
        ...

    def transfer(self, outcome: TransferOutcome, status: int, reason: str) -> None: ...

    def confirm(self, played: int) -> None: ...

    def end(self, *, by: str = "caller", status: int = 0, reason: str = "bye") -> None: ...


class Desk(Protocol):
    """What the edge offers to its doors."""

    @property
    def refusal(self) -> tuple[int, str] | None:
        """HTTP status and words while no new call can be taken (draining, full, no front), for an early answer."""
        ...

    def offer(
        self,
        peer: Peer,
        *,
        door: Door,
        source: str,
        from_uri: str,
        to_uri: str,
        signalling_id: str = "",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Call:
        """A new call. Raises ``MediaError`` while ``refusal`` is set."""
        ...

    def refused(self, door: str, source: str, rule: str, why: str) -> None:
        """Something was turned away or cut off: for the log (a few lines a second; the rest is counted)."""
        ...


class Door(Protocol):
    """One kind of stream."""

    @property
    def name(self) -> str:
        """``LegInfo.transport`` of its calls."""
        ...

    @property
    def lead_ms(self) -> int:
        """Send-ahead; 0 for clients that keep a buffer of their own."""
        ...

    @property
    def confirms(self) -> bool: ...

    def routes(self, desk: Desk) -> Iterable[web.AbstractRouteDef]:
        """HTTP routes, WebSockets among them."""
        ...

    async def close(self) -> None:
        """The edge stops; its calls have been ended."""
        ...
