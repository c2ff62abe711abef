"""What is installed: Python, the packages of the core, and whose they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from typing import Final

from agent.config import Config
from agent.doctor.check import Check, fail, ok

DISTRIBUTION: Final = "crosstalk-voice"
PACKAGES: Final = {
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "aiohttp": "aiohttp",
    "uvloop": "uvloop",
    "structlog": "structlog",
    "yaml": "pyyaml",
    "standardwebhooks": "standardwebhooks",
    "prometheus_client": "prometheus-client",
    "rich": "rich",
}
"""Import name to package: what the core install brings."""
OLDEST_PYTHON: Final = (3, 11)


def check_python(_config: Config) -> Iterator[Check]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < OLDEST_PYTHON:
        yield fail("python", version, "Python 3.11 or newer is needed")
    else:
        yield ok("python", f"{version} ({sys.executable})")


def check_packages(_config: Config) -> Iterator[Check]:
    absent = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if absent:
        yield fail("packages", f"not installed: {', '.join(absent)}", f"pip install {' '.join(absent)}")
    else:
        yield ok("packages", f"{len(PACKAGES)} core packages present")


def check_names(_config: Config) -> Iterator[Check]:
    """``agent`` and ``telephony`` are common names: another distribution's files may hide ours."""
    owners = metadata.packages_distributions()
    for name in ("agent", "telephony"):
        others = sorted({owner for owner in owners.get(name, ()) if owner.lower().replace("_", "-") != DISTRIBUTION})
        if others:
            advice = f"install Crosstalk into an environment of its own, or remove {', '.join(others)}"
            yield fail(f"package {name}", f"also provided by {', '.join(others)}", advice)
        else:
            yield ok(f"package {name}", "ours alone")
