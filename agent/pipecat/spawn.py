"""Starts the processes that host Pipecat. Their options go over standard input: arguments can be read by all."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from agent.config_load import process_environment
from agent.pipecat.spec import PartSpec

ROOT: Final = Path(__file__).resolve().parents[2]
BOOT: Final = (
    "import sys; sys.path[:] = __import__('json').loads(sys.argv[1]); from agent.pipecat.host import main; main()"
)
PASSED_ON: Final = frozenset(
    [
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "TZ",
        "TMPDIR",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "VIRTUAL_ENV",
        "LD_LIBRARY_PATH",
    ]
)
"""Nothing else of our environment: services look for keys of their own there, and would send them anywhere."""

Spawn = Callable[[socket.socket], "subprocess.Popen[bytes]"]


def host_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """The environment of a host."""
    return {name: ours[name] for name in sorted(PASSED_ON & ours.keys())} | {"PYTHONWARNINGS": "ignore"}


def spawner(role: str, spec: PartSpec, **more: str) -> Spawn:
    """Starts a host of ``role`` on its end of a socket pair; ``more``: what this role wants besides."""

    def spawn(link: socket.socket) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", BOOT, json.dumps([str(ROOT), *sys.path]), role],  # the role, for who reads ps
            pass_fds=(link.fileno(),),
            stdin=subprocess.PIPE,
            env=host_environment(process_environment()),
        )
        assert process.stdin is not None
        options = {"role": role, "spec": spec.to_json(), "fd": link.fileno(), **more}
        with process.stdin as told:
            told.write(json.dumps(options).encode())
        return process

    return spawn


def check(specs: list[PartSpec], *, timeout_s: float = 60.0) -> list[tuple[str, str]]:
    """Make each service once, in a process that ends: ``(field, reason)`` of what is wrong (``voice.settings.x``)."""
    options = {"role": "check", "specs": [spec.to_json() for spec in specs]}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", BOOT, json.dumps([str(ROOT), *sys.path])],
            input=json.dumps(options).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=host_environment(process_environment()),
            timeout=timeout_s,
            check=False,
        )
        return [(str(field), str(reason)) for field, reason in json.loads(done.stdout.splitlines()[-1])]
    except subprocess.TimeoutExpired:
        return [(specs[0].part, f"was not made within {timeout_s:g} s")]
    except (ValueError, IndexError):
        return [(specs[0].part, f"the process that tries the services ended with {done.returncode}")]
