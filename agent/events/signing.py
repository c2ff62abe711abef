"""Signatures after Standard Webhooks: ``webhook-id``, ``webhook-timestamp``, ``webhook-signature``."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook


def new_secret() -> str:
    """``whsec_`` and base64 of 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class Signer:
    """Signs with every secret given, so that a receiver may know the old or the new one while they are changed."""

    def __init__(self, keys: Sequence[str]) -> None:
        """``keys``: ``whsec_`` and base64. Without any, messages go unsigned. Raises ``ValueError``."""
        try:
            self._keys = [Webhook(secret) for secret in keys]
        except Exception as error:  # the library raises whatever base64 and its own checks do
            raise ValueError("a webhook secret is not whsec_ and base64") from error

    def headers(self, message_id: str, at: float, body: bytes) -> dict[str, str]:
        """Headers of one attempt. ``message_id`` stays the same over attempts; ``at``: epoch seconds of this one."""
        moment = datetime.fromtimestamp(int(at), UTC)  # aware: the library overwrites the zone of a naive time
        headers = {"webhook-id": message_id, "webhook-timestamp": str(int(at))}
        if self._keys:
            text = body.decode()
            headers["webhook-signature"] = " ".join(key.sign(message_id, moment, text) for key in self._keys)
        return headers
