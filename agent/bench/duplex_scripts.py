"""The callers of the duplex bench: long answers, sounds over them, a real interruption, pauses inside turns."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.bench.conversations import BACKCHANNELS, NOISES, PAUSES_MS, SIDE_TALK, TICS, turn
from agent.simulator.clips import SpeechFolder
from agent.simulator.network import NetworkProfile
from agent.simulator.script import Background, Echo, Part, Script, Sound, Step, Trigger, WaitReply, When
from agent.simulator.truth import EventType

LONG_ANSWERS = (
    "what are your opening hours",
    "tell me your opening hours",
    "what time do you open",
    "how long are you open",
)
"""Questions that the shipped dialogue answers with some fifteen seconds of speech."""
INTERRUPTIONS = (
    "stop it",
    "never mind",
    "that is enough",
    "thank you very much but that is enough for me now",
    "please stop now because I have another question",
)
GO_ON = "go on"
ITEMS_PER_CALL = 3
FIRST_MS, SECOND_MS, INTERRUPT_MS = 1500, 4500, 7500
"""After the agent's onset: two sounds that are not for it, then one that is. The answer is longer by 2 s and more."""
SELECTIVE = (EventType.BACKCHANNEL, EventType.TIC, EventType.SIDE_TALK, EventType.NOISE)


@dataclass(frozen=True, slots=True)
class Profile:
    """Line and room of a set of calls."""

    name: str
    network: NetworkProfile = field(default_factory=NetworkProfile)
    room: tuple[Step, ...] = ()


PROFILES = (
    Profile("clean"),
    Profile("loss2_jitter30", NetworkProfile(loss=0.02, jitter_ms=30.0)),
    Profile("babble10", room=(Background(line=0, kind="babble", snr_db=10.0),)),
    Profile("echo30", room=(Echo(line=0, level_db=-30.0, delay_ms=150),)),
)


@dataclass(frozen=True, slots=True)
class Sounds:
    """Recorded sounds in place of made ones; empty tuples: made ones."""

    backchannels: tuple[str, ...] = ()
    noises: tuple[str, ...] = ()
    laughs: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: Path | None) -> Sounds:
        """From a speech folder's manifest, its ``dev`` split. Raises ``ClipError``."""
        if folder is None:
            return cls()
        found = SpeechFolder.open(folder)
        return cls(
            backchannels=tuple(str(path) for path, _ in found.of("backchannel")),
            noises=tuple(str(path) for path, _ in found.of("noise", "music")),
            laughs=tuple(str(path) for path, _ in found.of("laughter")),
        )

    def hashes(self) -> dict[str, str]:
        """File name → SHA-256 of every recorded clip in use."""
        paths = [Path(name) for name in (*self.backchannels, *self.noises, *self.laughs)]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def sound(kind: EventType, rng: random.Random, sounds: Sounds, after_ms: int) -> Sound:
    """One sound over the agent's voice."""
    when = When(trigger=Trigger.AGENT_SPEAKS, after_ms=after_ms, timeout_ms=8000)
    base = Sound(line=0, type=kind, when=when)
    if kind is EventType.INTERRUPT:
        return replace(base, parts=(Part(text=rng.choice(INTERRUPTIONS)),))
    if kind is EventType.BACKCHANNEL:
        part = Part(wav=rng.choice(sounds.backchannels)) if sounds.backchannels else Part(text=rng.choice(BACKCHANNELS))
        return replace(base, parts=(part,))
    if kind is EventType.SIDE_TALK:
        return replace(base, parts=(Part(text=rng.choice(SIDE_TALK)),), gain_db=-14.0)
    if kind is EventType.NOISE:
        parts = (Part(wav=rng.choice(sounds.noises)),) if sounds.noises else ()
        return replace(base, kind=rng.choice(NOISES), parts=parts, ms=rng.choice((400, 800, 1200)), snr_db=5.0)
    if sounds.laughs and rng.random() < 1 / len(TICS):
        return replace(base, kind="laugh", parts=(Part(wav=rng.choice(sounds.laughs)),))
    return replace(base, kind=rng.choice(TICS))


def profile_scripts(profile: Profile, *, events: int, voices: Sequence[str], sounds: Sounds, seed: int) -> list[Script]:
    """Scripts with at least ``events`` of each kind of sound, of interruptions and of pauses."""
    rng = random.Random(seed)
    kinds = [kind for _ in range(events) for kind in SELECTIVE]
    rng.shuffle(kinds)
    pairs = [kinds[index : index + 2] for index in range(0, len(kinds), 2)]
    scripts: list[Script] = []
    for number in range(0, len(pairs), ITEMS_PER_CALL):
        steps: list[Step] = [*profile.room, WaitReply(line=0, settle_ms=800, timeout_ms=15_000)]
        for index, pair in enumerate(pairs[number : number + ITEMS_PER_CALL]):
            steps += _item(pair, rng, sounds, pause_ms=PAUSES_MS[(number + index) % len(PAUSES_MS)])
        scripts.append(_script(f"{profile.name}{len(scripts)}", steps, profile, voices, len(scripts), seed))
    return scripts


def _item(pair: Sequence[EventType], rng: random.Random, sounds: Sounds, *, pause_ms: int) -> list[Step]:
    question = turn(rng.choice(LONG_ANSWERS), pause_ms=pause_ms if rng.random() < 0.75 else 0)
    over = [
        sound(kind, rng, sounds, after + rng.randrange(0, 600))
        for kind, after in zip(pair, (FIRST_MS, SECOND_MS), strict=False)
    ]
    interrupt = sound(EventType.INTERRUPT, rng, sounds, INTERRUPT_MS + rng.randrange(0, 1500))
    return [question, *over, interrupt, WaitReply(line=0, settle_ms=1400, timeout_ms=12_000)]


def control_script(profile: Profile, *, voices: Sequence[str], seed: int) -> Script:
    """The same questions with nothing said over the answers."""
    steps: list[Step] = [*profile.room, WaitReply(line=0, settle_ms=800, timeout_ms=15_000)]
    for text in LONG_ANSWERS[:2]:
        steps += [turn(text), WaitReply(line=0, settle_ms=1400, timeout_ms=40_000)]
    return _script(f"{profile.name}-control", steps, profile, voices, 0, seed)


def marker_scripts(*, events: int, voices: Sequence[str], seed: int) -> list[Script]:
    """Interruptions at random words of an answer in the marker voice, each followed by "go on"."""
    rng = random.Random(seed)
    scripts: list[Script] = []
    for number in range(-(-events // ITEMS_PER_CALL)):
        steps: list[Step] = [WaitReply(line=0, settle_ms=800, timeout_ms=15_000)]
        for _ in range(ITEMS_PER_CALL):
            steps += [
                turn(rng.choice(LONG_ANSWERS)),
                sound(EventType.INTERRUPT, rng, Sounds(), rng.randrange(1200, 5500)),
                WaitReply(line=0, settle_ms=1500, timeout_ms=12_000),
                replace(turn(GO_ON), resume=True),
                WaitReply(line=0, settle_ms=1500, timeout_ms=30_000),
            ]
        scripts.append(_script(f"marker{number}", steps, PROFILES[0], voices, number, seed))
    return scripts


def _script(
    name: str, steps: Sequence[Step], profile: Profile, voices: Sequence[str], number: int, seed: int
) -> Script:
    return Script(
        name=name,
        steps=tuple(steps),
        voice=voices[number % len(voices)],
        seed=seed + number,
        network=replace(profile.network, seed=seed + number),
        max_s=600.0,
    )
