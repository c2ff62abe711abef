"""Caller scripts: YAML files that say what a simulated caller does. Errors name file and line.

The format: docs/reference/caller-script.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from agent.simulator.network import NetworkProfile
from agent.simulator.truth import EventType
from agent.simulator.yaml_nodes import Mapping, Node, ScriptError, load_nodes

__all__ = ["Script", "ScriptError", "load_script", "parse_script"]

TIC_KINDS = ("cough", "throat", "um", "breath", "laugh")
NOISE_KINDS = ("babble", "white", "street", "tv")
WAIT_LIMIT_MS = 20_000
DTMF_KEYS = set("0123456789*#ABCD")


class Trigger(StrEnum):
    """What a step waits for before its sound begins."""

    NOW = "now"
    AGENT_SPEAKS = "agent_speaks"
    """The agent has been speaking for ``after_ms``."""
    AGENT_SILENT = "agent_silent"
    """The agent has been silent for ``after_ms``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a turn: exactly one of the three."""

    text: str = ""
    wav: str = ""
    pause_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """When a step's sound begins."""

    trigger: Trigger = Trigger.NOW
    after_ms: int = 0
    timeout_ms: int = WAIT_LIMIT_MS
    """How long to wait for the agent; then the step is skipped and noted (``agent_silent``: begun all the same)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """Something that the caller's telephone picks up: speech, a cough, somebody else, a burst of noise."""

    line: int
    type: EventType
    parts: tuple[Part, ...] = ()
    kind: str = ""
    """Of a tic or a noise."""
    ms: int = 0
    """Length of a noise."""
    snr_db: float = 10.0
    """Of a noise, against this caller's speech."""
    gain_db: float = 0.0
    voice: str = ""
    expect: str = "none"
    resume: bool = False
    when: When = When()


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitReply:
    """Wait until the agent has spoken since our last words, and then been silent for ``settle_ms``."""

    line: int
    settle_ms: int = 900
    timeout_ms: int = WAIT_LIMIT_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    line: int
    ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    line: int
    digits: str
    tone_ms: int = 100
    gap_ms: int = 100
    when: When = When()


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """Noise under everything that follows; ``kind`` ``off`` ends it."""

    line: int
    kind: str
    snr_db: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """The agent's own voice, back into the caller's microphone from here on; ``level_db`` ``None`` ends it."""

    line: int
    level_db: float | None
    delay_ms: int = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    line: int


Build = Callable[[Mapping, str, Path | None], "Step"]
Step = Sound | WaitReply | Wait | Keys | Background | Echo | HangUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One caller's behaviour."""

    name: str
    steps: tuple[Step, ...]
    voice: str = ""
    """Voice of the caller (``rms slt awb kal``, ``pico:en-US`` …); empty: the best that is there."""
    speed: float = 1.0
    pitch: float = 1.0
    level_dbfs: float = -20.0
    """Active speech level of the caller."""
    seed: int = 1
    network: NetworkProfile = field(default_factory=NetworkProfile)
    accept_transfer: bool = True
    """Answer a REFER with 202 and report success; else 603."""
    max_s: float = 300.0
    """The caller hangs up after that long, whatever happens."""


def load_script(path: Path) -> Script:
    """Read a script. Raises ``ScriptError`` with ``file:line``."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(str(path), f"cannot be read: {error}") from error
    return parse_script(text, where=str(path), folder=path.parent)


def parse_script(text: str, *, where: str = "script", folder: Path | None = None) -> Script:
    """Parse a script; WAV paths are taken from ``folder``. Raises ``ScriptError`` with ``where:line``."""
    top = load_nodes(text, where).mapping()
    top.only("name", "voice", "speed", "pitch", "level_dbfs", "seed", "network", "transfer", "max_s", "steps")
    steps = tuple(_step(node, folder) for node in top.need("steps").sequence())
    if not steps:
        raise top.need("steps").error("a script needs at least one step")
    return Script(
        name=top.text("name", "script"),
        steps=steps,
        voice=top.text("voice", ""),
        speed=top.number("speed", 1.0, low=0.5, high=2.0),
        pitch=top.number("pitch", 1.0, low=0.5, high=2.0),
        level_dbfs=top.number("level_dbfs", -20.0, low=-50.0, high=-6.0),
        seed=top.integer("seed", 1),
        network=_network(top.child("network"), top.integer("seed", 1)),
        accept_transfer=top.choice("transfer", "accept", ("accept", "refuse")) == "accept",
        max_s=top.number("max_s", 300.0, low=1.0, high=3600.0),
    )


def _network(node: Node | None, seed: int) -> NetworkProfile:
    if node is None:
        return NetworkProfile(seed=seed)
    found = node.mapping()
    found.only("loss", "jitter_ms", "reorder", "duplicate", "seed")
    return NetworkProfile(
        loss=found.number("loss", 0.0, low=0.0, high=1.0),
        jitter_ms=found.number("jitter_ms", 0.0, low=0.0, high=2000.0),
        reorder=found.number("reorder", 0.0, low=0.0, high=1.0),
        duplicate=found.number("duplicate", 0.0, low=0.0, high=1.0),
        seed=found.integer("seed", seed),
    )


# --- steps ---


def _step(node: Node, folder: Path | None) -> Step:
    """A bare word (``hangup``), or a mapping whose first key names the step."""
    if node.is_scalar:
        word = node.string()
        if word == "hangup":
            return HangUp(line=node.line)
        if word == "wait_reply":
            return WaitReply(line=node.line)
        if word == "cough":
            return Sound(line=node.line, type=EventType.TIC, kind="cough")
        raise node.error(f"unknown step {word!r}; known: {', '.join(sorted(_STEPS))}")
    found = node.mapping()
    for name, build in _STEPS.items():
        if name in found:
            return build(found, name, folder)
    raise node.error(f"unknown step {', '.join(found.keys())}; known: {', '.join(sorted(_STEPS))}")


def _inside(found: Mapping, name: str) -> Mapping:
    """``name: {…}`` with its fields inside, or ``name: value`` with its fields beside it, as one mapping."""
    node = found.need(name)
    if node.is_mapping:
        found.only(name)
        return node.mapping()
    return found


def _say(found: Mapping, name: str, folder: Path | None) -> Sound:
    fields = _inside(found, name)
    fields.only("say", "text", "wav", "voice", "expect", "wait_for", "after_ms", "timeout_ms", "gain_db", "resume")
    return Sound(
        line=found.line,
        type=EventType.TURN,
        parts=_parts(fields, ("say", "text", "wav"), folder),
        voice=fields.text("voice", ""),
        expect=fields.choice("expect", "reply", ("reply", "none")),
        gain_db=fields.number("gain_db", 0.0, low=-60.0, high=20.0),
        resume=fields.flag("resume"),
        when=_when(fields, Trigger.NOW),
    )


def _parts(fields: Mapping, names: tuple[str, ...], folder: Path | None) -> tuple[Part, ...]:
    name = next((key for key in names if key in fields), None)
    if name is None:
        raise fields.error(f"needs one of {', '.join(names)}")
    node = fields.need(name)
    if name == "wav":
        return (Part(wav=_wav(node, folder)),)
    if node.is_scalar:
        return (Part(text=_words(node)),)
    parts = tuple(_part(one, folder) for one in node.sequence())
    if not parts or parts[0].pause_ms or parts[-1].pause_ms:
        raise node.error("must begin and end with words, not with a pause")
    return parts


def _part(node: Node, folder: Path | None) -> Part:
    if node.is_scalar:
        return Part(text=_words(node))
    found = node.mapping()
    found.only("text", "wav", "pause_ms")
    if len(found.keys()) != 1:
        raise node.error("a part is one of text, wav, pause_ms")
    if "pause_ms" in found:
        return Part(pause_ms=found.integer("pause_ms", 0, low=1, high=60_000))
    if "wav" in found:
        return Part(wav=_wav(found.need("wav"), folder))
    return Part(text=_words(found.need("text")))


def _words(node: Node) -> str:
    text = node.string().strip()
    if not text:
        raise node.error("says nothing")
    return text


def _wav(node: Node, folder: Path | None) -> str:
    path = (folder or Path()) / node.string()
    if not path.is_file():
        raise node.error(f"no such file: {node.string()}")
    return str(path)


def _when(fields: Mapping, default: Trigger, after_ms: int = 0) -> When:
    trigger = Trigger(fields.choice("wait_for", str(default), tuple(Trigger)))
    return When(
        trigger=trigger,
        after_ms=fields.integer("after_ms", after_ms, low=0, high=600_000),
        timeout_ms=fields.integer("timeout_ms", WAIT_LIMIT_MS, low=1, high=600_000),
    )


def _over(type_: EventType, default_text: str) -> Build:
    """A sound over the agent's voice that says something."""

    def build(found: Mapping, name: str, folder: Path | None) -> Sound:
        fields = _inside(found, name)
        fields.only(name, "text", "wav", "after_ms", "voice", "gain_db", "wait_for", "timeout_ms", "resume", "expect")
        said = any(key in fields for key in ("text", "wav", name))
        parts = _parts(fields, ("text", "wav", name), folder) if said else (Part(text=default_text),)
        return Sound(
            line=found.line,
            type=type_,
            parts=parts,
            voice=fields.text("voice", ""),
            gain_db=fields.number("gain_db", -14.0 if type_ is EventType.SIDE_TALK else 0.0, low=-60.0, high=20.0),
            resume=fields.flag("resume"),
            expect=fields.choice("expect", "none", ("reply", "none")),
            when=_when(fields, Trigger.AGENT_SPEAKS, 1000),
        )

    return build


def _tic(found: Mapping, name: str, _folder: Path | None) -> Sound:
    node = found.need(name)
    fields = _inside(found, name)
    fields.only(name, "kind", "after_ms", "wait_for", "timeout_ms", "gain_db")
    if name == "tic" and node.is_scalar:
        kind = fields.choice("tic", "cough", TIC_KINDS)
    else:
        kind = fields.choice("kind", "cough", TIC_KINDS)
    return Sound(
        line=found.line,
        type=EventType.TIC,
        kind=kind,
        gain_db=fields.number("gain_db", 0.0, low=-60.0, high=20.0),
        when=_when(fields, Trigger.AGENT_SPEAKS, 1000),
    )


def _noise(found: Mapping, name: str, _folder: Path | None) -> Sound | Background:
    """With ``ms`` a burst over the agent's voice; without it the background from here on."""
    if found.need(name).is_scalar:
        return Background(line=found.line, kind=found.choice(name, "off", ("off", *NOISE_KINDS)))
    fields = found.need(name).mapping()
    fields.only("kind", "snr_db", "ms", "after_ms", "wait_for", "timeout_ms")
    kind = fields.choice("kind", "babble", ("off", *NOISE_KINDS))
    snr_db = fields.number("snr_db", 15.0, low=-10.0, high=60.0)
    if "ms" not in fields:
        return Background(line=found.line, kind=kind, snr_db=snr_db)
    return Sound(
        line=found.line,
        type=EventType.NOISE,
        kind=kind,
        snr_db=snr_db,
        ms=fields.integer("ms", 1000, low=20, high=60_000),
        when=_when(fields, Trigger.AGENT_SPEAKS, 1000),
    )


def _echo(found: Mapping, name: str, _folder: Path | None) -> Echo:
    if found.need(name).is_scalar:
        found.choice(name, "off", ("off",))
        return Echo(line=found.line, level_db=None)
    fields = found.need(name).mapping()
    fields.only("level_db", "delay_ms")
    return Echo(
        line=found.line,
        level_db=fields.number("level_db", -30.0, low=-80.0, high=0.0),
        delay_ms=fields.integer("delay_ms", 150, low=0, high=2000),
    )


def _dtmf(found: Mapping, name: str, _folder: Path | None) -> Keys:
    node = found.need(name)
    fields = _inside(found, name)
    fields.only(name, "digits", "tone_ms", "gap_ms", "after_ms", "wait_for", "timeout_ms")
    digits = (fields.need("digits") if node.is_mapping else node).string()
    if not digits or not set(digits) <= DTMF_KEYS:
        raise node.error(f"keys are 0-9 * # A-D, not {digits!r}")
    return Keys(
        line=found.line,
        digits=digits,
        tone_ms=fields.integer("tone_ms", 100, low=40, high=5000),
        gap_ms=fields.integer("gap_ms", 100, low=40, high=5000),
        when=_when(fields, Trigger.NOW),
    )


def _wait(found: Mapping, name: str, _folder: Path | None) -> Wait:
    node = found.need(name)
    fields = _inside(found, name)
    fields.only(name, "ms")
    return Wait(line=found.line, ms=fields.integer("ms" if node.is_mapping else name, 0, low=1, high=600_000))


def _wait_reply(found: Mapping, name: str, _folder: Path | None) -> WaitReply:
    fields = found.need(name).mapping()
    fields.only("settle_ms", "timeout_ms")
    return WaitReply(
        line=found.line,
        settle_ms=fields.integer("settle_ms", 900, low=100, high=60_000),
        timeout_ms=fields.integer("timeout_ms", WAIT_LIMIT_MS, low=1, high=600_000),
    )


_STEPS: dict[str, Build] = {
    "say": _say,
    "wait_reply": _wait_reply,
    "interrupt": _over(EventType.INTERRUPT, "wait, stop, that is wrong"),
    "backchannel": _over(EventType.BACKCHANNEL, "mhm"),
    "side_talk": _over(EventType.SIDE_TALK, "no, put it on the table please"),
    "cough": _tic,
    "tic": _tic,
    "noise": _noise,
    "echo": _echo,
    "dtmf": _dtmf,
    "wait": _wait,
    "hangup": lambda found, name, folder: HangUp(line=found.line),
}
