"""The front's end of the control channel of a stream edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from telephony.control_client import ControlClient


class StreamClient(ControlClient):
    """Commands to one stream edge (``telephony.stream_messages``) and news from it."""

    def __init__(self, *, answer_timeout_s: float = 5.0) -> None:
        super().__init__(answer_timeout_s=answer_timeout_s)
        self.on_message: Callable[[dict[str, Any]], None] = lambda body: None

    def on_news(self, body: dict[str, Any]) -> None:
        self.on_message(body)
