"""All checks, as a pure list; the command line renders it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.config import Config
from agent.config_load import LoadedConfig
from agent.doctor.check import Check, Status
from agent.doctor.installed import check_names, check_packages, check_python
from agent.doctor.machine import check_clock, check_cores, check_open_files, check_scheduling
from agent.doctor.models import check_agent_file, check_models, check_speech_model
from agent.doctor.network import check_advertised_address, check_api_keys, check_ports
from agent.doctor.speech import check_net, check_recogniser, check_voice
from agent.doctor.store import check_store

CHECKS: tuple[Callable[[Config], Iterator[Check]], ...] = (
    check_python,
    check_packages,
    check_names,
    check_ports,
    check_advertised_address,
    check_api_keys,
    check_models,
    check_voice,
    check_net,
    check_speech_model,
    check_recogniser,
    check_agent_file,
    check_store,
    check_scheduling,
    check_open_files,
    check_cores,
    check_clock,
)


def run_doctor(loaded: LoadedConfig) -> list[Check]:
    """All checks, in the order in which a newcomer would fix things."""
    return [check for look in CHECKS for check in look(loaded.config)]


def worst(checks: list[Check]) -> Status:
    """``fail`` before ``warn`` before ``ok``."""
    found = {check.status for check in checks}
    return "fail" if "fail" in found else "warn" if "warn" in found else "ok"
