"""The log of an HTTP server of ours, without what any peer can write into it."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError


def http_logger(name: str) -> logging.Logger:
    """A logger that drops tracebacks for bytes that are no HTTP and for clients that are gone in the middle."""
    log = logging.getLogger(name)
    if not any(isinstance(one, _NoPeers) for one in log.filters):
        log.addFilter(_NoPeers())
    return log


class _NoPeers(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | ConnectionError))
