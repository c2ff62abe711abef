"""Import rules, cycles and habits that a test can hold (docs/explanation/design.md, "Layers")."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IO_MODULES = {"asyncio", "socket", "ssl", "threading", "time", "random", "structlog", "selectors", "subprocess"}

NOT_ON_A_TICK = {
    "asyncio",
    "threading",
    "ssl",
    "structlog",
    "logging",
    "agent.logging",
    "agent.store",
    "redis",
    "sqlite3",
}
"""Invariant 1: what a tick and a step may not wait for."""

FORBIDDEN: dict[str, set[str]] = {
    **{
        f"telephony.{module}": NOT_ON_A_TICK
        for module in ("edge", "edge_bank", "edge_control", "edge_links", "edge_queue", "edge_receive", "edge_reports")
    },
    "agent.pool.worker": NOT_ON_A_TICK,
    "agent.pool.recorder": NOT_ON_A_TICK,
    "agent.pool.measure": NOT_ON_A_TICK,
    "telephony.audio": IO_MODULES | {"aiortc", "os"},
    "telephony.rtp": IO_MODULES | {"aiortc", "os"},
    "telephony.sdp": IO_MODULES | {"aiortc", "os"},
    "telephony.sip": IO_MODULES | {"aiortc", "os"},
    "telephony.link": IO_MODULES,
    **{
        f"telephony.twilio.{name}": IO_MODULES | {"aiohttp", "os", "twilio"}
        for name in ("dialect", "messages", "pacing", "signature", "stream", "token", "twiml")
    },
    "telephony": {"agent", "torch", "redis"},
    "agent": {"piper", "phonemizer", "espeakng_loader", "kokoro_onnx", "misaki"},  # GPL, or loads what is
    "agent.pull": {"asyncio", "onnxruntime", "sherpa_onnx", "faster_whisper", "agent.session", "agent.pool"},
    "agent.transcribe": {"asyncio", "agent.session", "agent.pool", "agent.store"},
    "agent.lifecycle": IO_MODULES | {"torch", "redis", "os"},
    "agent.expectation": IO_MODULES | {"torch", "redis", "os"},
    "agent.scheduler": IO_MODULES | {"torch", "redis", "os", "telephony.sip", "telephony.net", "agent.pool.client"},
    "agent.brain": IO_MODULES | {"torch", "redis", "telephony", "aiohttp", "agent.remote", "agent.mcp"},
    "agent.remote": {
        "agent.session",
        "agent.dialogue",
        "agent.scheduler",
        "agent.pool",
        "agent.store",
        "telephony.net",
    },
    "agent.mcp": {"agent.session", "agent.dialogue", "agent.scheduler", "agent.pool", "agent.store", "telephony.net"},
    "agent.model": {"asyncio", "agent.session", "agent.store", "redis"},
    "agent.model.moshi": {"moshi"},  # the reference of its tests and the peer of its bench
    **{
        f"agent.model.moshi.{name}": {"torch"}
        for name in ("config", "extra", "layout", "orders", "planner", "published", "voice_names")
    },
    **{
        f"agent.model.{name}": {"torch"}
        for name in ("baseline", "duet", "fakes", "hybrid", "names", "parts", "protocol", "registry", "small")
    },
    "agent.session": {"torch", "redis", "telephony.sip", "telephony.net", "agent.store.sqlite", "agent.store.redis"},
    "agent.switchboard": {"torch", "redis", "telephony.sip", "agent.store.sqlite", "agent.store.redis"},
}
"""Module prefix to what it must not import (prefixes)."""

COMPOSERS = {"agent.cli", "agent.app", "agent.front", "agent.commands"}
"""The modules that pick adapters and may import benches and the simulator."""


@dataclass(frozen=True, slots=True)
class Module:
    """What the tests ask of a module. Its tree is not kept: a million nodes make every collection of garbage slow."""

    name: str
    imports: tuple[str, ...]
    at_start: tuple[str, ...]
    """Of these, the ones at its top level that are more than types."""
    attributes: tuple[tuple[str, int], ...]
    """``(name, line)``."""
    prints: tuple[int, ...]
    """Lines that call the builtin."""

    def imported(self, prefix: str) -> bool:
        return any(under(target, prefix) for target in self.imports)


def read(path: Path) -> Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    return Module(
        name=".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"),
        imports=tuple(imports(nodes)),
        at_start=tuple(imports(_module_level(tree))),
        attributes=tuple((node.attr, node.lineno) for node in nodes if isinstance(node, ast.Attribute)),
        prints=tuple(
            node.lineno
            for node in nodes
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        ),
    )


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    """Read once, and not while tests are collected: each process of a run collects them all."""
    return [read(path) for package in ("telephony", "agent") for path in sorted((ROOT / package).rglob("*.py"))]


def imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_level(tree: ast.Module) -> Iterator[ast.AST]:
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node


def under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


@pytest.mark.parametrize("prefix", sorted(FORBIDDEN))
def test_layer_imports_nothing_above_it(prefix: str, modules: list[Module]) -> None:
    broken = [
        f"{module.name} imports {target}"
        for module in modules
        if under(module.name, prefix)
        for target in module.imports
        for banned in FORBIDDEN[prefix]
        if under(target, banned)
    ]
    assert not broken, "\n".join(broken)


def test_nobody_imports_the_benches_the_simulator_or_training(modules: list[Module]) -> None:
    users = {"agent.bench": (), "agent.simulator": ("agent.bench", "agent.training"), "agent.training": ()}
    broken = [
        f"{module.name} imports {target}"
        for module in modules
        for target in module.imports
        for owner, others in users.items()
        if under(target, owner) and not any(under(module.name, user) for user in (owner, *others, *COMPOSERS))
    ]
    assert not broken, "\n".join(broken)


def test_there_is_no_import_cycle(modules: list[Module]) -> None:
    names = {module.name for module in modules}
    edges = {
        module.name: {
            found
            for target in module.at_start
            for found in (target, target.rpartition(".")[0])
            if found in names and found != module.name
        }
        for module in modules
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in sorted(edges[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(names):
        visit(name, ())


PIPECAT_PROCESSES = (
    "agent.pipecat.build",
    "agent.pipecat.pipeline",
    "agent.bench.pipecat_client",
    "agent.bench.smart_turn_process",
)
"""Modules that run in processes of their own only, besides ``agent.pipecat.*_host``."""


def test_pipecat_is_imported_in_processes_of_its_own_only(modules: list[Module]) -> None:
    found = {module.name for module in modules if module.imported("pipecat")}
    assert {name for name in found if not name.endswith("_host")} <= set(PIPECAT_PROCESSES)
    hosts = {name for name in found if name.endswith("_host")} | {"agent.pipecat.build", "agent.pipecat.pipeline"}
    importers = {
        module.name for module in modules if module.name not in hosts and any(module.imported(host) for host in hosts)
    }
    assert importers == {"agent.pipecat.host"}, (
        "the entry of those processes, which imports them when it knows its role"
    )


TASK_OWNERS = {
    "agent.tasks": "a task group that is cancelled at the end of its block",
    "agent.reception": "one question to the customer's server, cancelled in the same function",
    "agent.tool_calls": "one tool call, awaited and cancelled in the same function",
    "agent.supervisor": "its task group; two waits that are cancelled in the same function",
    "agent.events.webhooks": "task groups inside its run",
    "agent.store.spool": "one task from open to close, which awaits it",
    "telephony.webrtc.door": "lives of connections, which its close ends and awaits",
    "telephony.sip_plane": "one task from start to stop, which awaits it, and the group that it owns",
    "telephony.stream_socket": "the writer of one socket, ended in the same function",
    "telephony.twilio.door": "the writer of one socket, in a group that ends with it",
    "telephony.twilio.peer": "commands to the REST API, in a group that ends with the stream",
    "telephony.stream_plane": "one task from start to stop, which awaits it, and the group that it owns",
}
"""Who may start tasks, and what ends them. The benches and the simulator own theirs."""


def test_tasks_are_started_only_by_those_who_end_them(modules: list[Module]) -> None:
    starts = {"create_task", "ensure_future"}
    found = {module.name for module in modules if any(name in starts for name, _ in module.attributes)}
    assert {name for name in found if not name.startswith(("agent.bench", "agent.simulator"))} == set(TASK_OWNERS)


def test_only_the_command_line_prints(modules: list[Module]) -> None:
    """``console.print`` of rich writes where its owner said; only the bare builtin is banned."""
    broken = [f"{module.name}:{line}" for module in modules if module.name != "agent.cli" for line in module.prints]
    assert not broken, broken


ENVIRONMENT_READERS = {
    "agent.config_load": "configuration, all of it",
    "agent.training.net.gates": "XDG_CACHE_HOME: where this user keeps caches is the system's word, no setting of ours",
}


def test_only_the_loader_reads_the_environment(modules: list[Module]) -> None:
    broken = [
        f"{module.name}:{line}"
        for module in modules
        if module.name not in ENVIRONMENT_READERS
        for name, line in module.attributes
        if name in {"environ", "getenv"}
    ]
    assert not broken, broken


def test_heavy_packages_stay_out_of_the_command_line() -> None:
    import subprocess
    import sys

    code = (
        "import sys, agent.cli; "
        "bad = {'torch', 'aiortc', 'redis', 'onnxruntime', 'pocketsphinx', 'twilio', 'pipecat'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(bad)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
