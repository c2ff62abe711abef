"""Mains of the service's processes. The supervisor starts each with its options as JSON on standard input."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from agent.errors import AgentError
from agent.supervisor import CANNOT_START
from telephony.errors import TelephonyError

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Entry of a supervised process: ``python -c … ROLE`` with options on standard input."""
    _die_with_parent()
    os.umask(0o077)  # databases, recordings and sockets hold what callers said
    options: dict[str, Any] = json.load(sys.stdin)
    role = sys.argv[1]
    try:
        _ROLES[role](options)
    except (AgentError, TelephonyError, OSError) as error:
        sys.stderr.write(f"crosstalk {role}: {error}\n")
        sys.exit(CANNOT_START)
    except BaseExceptionGroup as group:
        known, others = group.split((AgentError, TelephonyError, OSError))
        if others is not None or known is None:
            raise
        sys.stderr.write(f"crosstalk {role}: {_first(known)}\n")
        sys.exit(CANNOT_START)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _die_with_parent() -> None:
    """A supervisor that is killed takes its processes along (Linux; elsewhere they find their sockets closed)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _edge(options: dict[str, Any]) -> None:
    from telephony.edge import run_edge

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_edge(**options)


def _stream(options: dict[str, Any]) -> None:
    from telephony.stream_process import run_stream_edge

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_stream_edge(**options)


def _worker(options: dict[str, Any]) -> None:
    from agent.model.registry import build_model
    from agent.pool.worker import run_worker

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    model, model_options = options.pop("model"), options.pop("model_options")
    run_worker(**options, model_factory=lambda rows: build_model(model, rows, **model_options))


def _front(options: dict[str, Any]) -> None:
    import asyncio

    import uvloop

    from agent.config import Config
    from agent.config_wire import from_wire
    from agent.front import run_front

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = from_wire(Config, options["config"])
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(run_front(config, run_folder=options["run_folder"])))


def _example(options: dict[str, Any]) -> None:
    import runpy

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.argv = [options["path"], *options["arguments"]]
    runpy.run_path(options["path"], run_name="__main__")


_ROLES: dict[str, Callable[[dict[str, Any]], None]] = {
    "edge": _edge,
    "stream": _stream,
    "worker": _worker,
    "front": _front,
    "example": _example,
}
