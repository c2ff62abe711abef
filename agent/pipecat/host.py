"""Entry of a process that hosts Pipecat. Its options come as JSON on standard input."""

from __future__ import annotations

import asyncio
import json
import logging as python_logging
import signal
import socket
import sys
from typing import Any

from agent import logging
from agent.events.names import LogEvent
from agent.logging import Log
from agent.pipecat.spec import PartSpec


def main() -> None:
    """Check specs and print what is wrong, or serve as the host of one part until the owner goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the owner, who closes the socket
    options: dict[str, Any] = json.load(sys.stdin)
    _quieten()
    if options["role"] == "check":
        sys.stdout.write(json.dumps(asyncio.run(_check(options["specs"]))) + "\n")
        return
    spec = PartSpec.from_json(options["spec"])
    link = socket.socket(fileno=options["fd"])
    writer = logging.configure("auto", "info", mask_numbers=True)
    log = logging.get_log(process=f"pipecat-{options['role']}")
    try:
        asyncio.run(_serve(options, spec, link, log))
    finally:
        writer.close()


def _quieten() -> None:
    """Pipecat and the vendors' packages log what was said and what they were given: none of that is ours to log."""
    from loguru import logger

    logger.remove()
    python_logging.lastResort = None
    python_logging.getLogger().addHandler(python_logging.NullHandler())


async def _check(specs: list[str]) -> list[tuple[str, str]]:
    from agent.pipecat.build import PartRefused, make_service

    wrong = []
    for text in specs:
        try:
            make_service(PartSpec.from_json(text))
        except PartRefused as refused:
            wrong.append((refused.field, refused.reason))
    return wrong


async def _serve(options: dict[str, Any], spec: PartSpec, link: socket.socket, log: Log) -> None:
    def unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        log.warning(LogEvent.PART_FAILED, why=spec.hide(f"{type(error).__name__}: {error}"))

    asyncio.get_running_loop().set_exception_handler(unhandled)
    if options["role"] == "voice":
        from agent.pipecat.voice_host import serve_voice

        await serve_voice(spec, link)
    elif options["role"] == "recogniser":
        from agent.pipecat.recogniser_host import serve_recogniser

        await serve_recogniser(spec, link, log)
    else:
        from agent.pipecat.brain_host import serve_brain

        await serve_brain(spec, link, options["path"])
