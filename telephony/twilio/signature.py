"""``X-Twilio-Signature``: HMAC-SHA1 over the public URL and the form's fields (Twilio, "Security"). Pure.

The URL is the one that Twilio was given. It comes from configuration: behind a proxy a request's own headers tell
another one, and an attacker writes them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

HEADER = "X-Twilio-Signature"
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def sign(auth_token: str, url: str, fields: Iterable[tuple[str, str]] = ()) -> str:
    """The signature of a request: of a form with its fields, of a WebSocket's upgrade (``wss``) with none."""
    # Each name once, in order, and each of its different values once, in order: so does Twilio's own helper.
    text = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def is_signed(auth_token: str, url: str, signature: str, fields: Iterable[tuple[str, str]] = ()) -> bool:
    """Whether ``signature`` fits; Twilio may or may not write the default port. Takes the same time for any answer."""
    if not auth_token:
        return False
    given, pairs = signature.encode("utf-8", "replace"), list(fields)
    results = [hmac.compare_digest(sign(auth_token, form, pairs).encode(), given) for form in _forms(url)]
    return any(results)


def _forms(url: str) -> tuple[str, str]:
    """The URL with and without its port."""
    parts = urlsplit(url)
    host, port = parts.netloc, _DEFAULT_PORTS.get(parts.scheme)
    if parts.port is not None:
        bare = host.removesuffix(f":{parts.port}")
        return url, urlunsplit(parts._replace(netloc=bare))
    return url, urlunsplit(parts._replace(netloc=f"{host}:{port}"))
