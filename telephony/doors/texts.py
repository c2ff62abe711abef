"""Texts of clients that are to be said or kept. Pure."""

from __future__ import annotations

import re

_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters but tab and line ends, and lone surrogates: JSON can carry them, UTF-8 cannot."""


def is_clean(text: str) -> bool:
    """Whether the text can be said, stored and sent on."""
    return _UNSPEAKABLE.search(text) is None
