"""The sounds over our voice: drawn by seed, made as the simulator makes them, or cut from recorded people.

Each event depends on the seed, its kind and its number alone: more events change none of the others.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent.bench.conversations import BACKCHANNELS, INTERRUPTIONS_LONG, INTERRUPTIONS_SHORT, SIDE_TALK, turn
from agent.bench.duplex_scripts import INTERRUPTIONS, LONG_ANSWERS, SELECTIVE, Sounds, sound
from agent.bench.evidence import CONTROL_LEFT_S, AgentChannel
from agent.bench.metrics import AFTER_OVERLAP_S
from agent.errors import AgentError
from agent.simulator.clips import PACKET_SAMPLES, Clip, SpeechFolder, clip_of
from agent.simulator.energy import RATE_HZ
from agent.simulator.render import Renderer
from agent.simulator.script import Part, Script, Sound
from agent.simulator.truth import EventType, TruthEvent

KINDS: Final = (EventType.INTERRUPT, *SELECTIVE)
TEXTS: Final = (*INTERRUPTIONS, *INTERRUPTIONS_SHORT, *INTERRUPTIONS_LONG)
FLOOR_WORDS: Final = frozenset({"stop", "wait", "no", "nope", "go", "sorry", "hello", "help", "cancel", "enough"})
"""Single recorded words that take the floor."""
FIRST_S, LAST_S = 1.5, 8.0
"""After our onset, between which sounds begin."""
LONGEST_S: Final = 4.0
"""Of a recorded interruption: how the reading goes on decides nothing."""
SPARE_S: Final = 0.3
TRIES: Final = 500
PACKET_S: Final = PACKET_SAMPLES / RATE_HZ


@dataclass(frozen=True, slots=True)
class Overlap:
    """One sound over our voice."""

    name: str
    kind: EventType
    clip: Clip
    packet: int
    """Packet of the call that carries the clip's first."""
    text: str
    script: Script
    """Whose room it sounds in."""
    asked: Clip | None = None
    """The question before our answer, in the same voice; recorded people ask none."""

    @property
    def event(self) -> TruthEvent:
        begin = self.packet * PACKET_S
        return TruthEvent(
            call=self.name,
            id=self.name,
            type=self.kind,
            start=begin + self.clip.span.start,
            end=begin + self.clip.span.end,
            text=self.text,
            item=self.name,
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """Clips of people for each kind that they made; a kind without clips has no events."""

    clips: dict[EventType, tuple[tuple[str, str], ...]]
    """(path, text)."""

    @classmethod
    def of(cls, folder: Path) -> Recorded:
        """From a speech folder's ``dev`` split. Raises ``ClipError``."""
        found, sounds = SpeechFolder.open(folder), Sounds.of(folder)
        taking = [
            (str(path), text) for path, text in found.of("word", "digit", "phrase", "sentence") if takes_the_floor(text)
        ]
        names = {
            EventType.BACKCHANNEL: sounds.backchannels,
            EventType.TIC: sounds.laughs,
            EventType.NOISE: sounds.noises,
        }
        clips = {kind: tuple((path, Path(path).stem) for path in paths) for kind, paths in names.items() if paths}
        return cls({EventType.INTERRUPT: tuple(taking), **clips} if taking else clips)

    def said(self) -> dict[str, list[str]]:
        """Kind to what its clips say, or their names."""
        return {str(kind): sorted({text.lower() for _, text in clips}) for kind, clips in self.clips.items()}


def takes_the_floor(text: str) -> bool:
    """More than one word is meant for us; one alone where it is among ``FLOOR_WORDS``."""
    words = text.lower().split()
    return len(words) > 1 or bool(FLOOR_WORDS.intersection(word.strip(".,!?") for word in words))


def draw(
    agent: AgentChannel, *, events: int, voices: Sequence[str], recorded: Recorded | None, renderer: Renderer, seed: int
) -> list[Overlap]:
    """``events`` of each kind at times at which ``agent``, undisturbed, speaks on for as long as they are judged.

    Raises ``AgentError`` where the answer is too short, ``VoiceFailed`` or ``ClipError``.
    """
    if recorded is None:
        _rehearse(renderer, voices)
    kinds = KINDS if recorded is None else [kind for kind in KINDS if kind in recorded.clips]
    return [
        _one(agent, kind, number, voices[number % len(voices)], recorded, renderer, seed)
        for kind in kinds
        for number in range(events)
    ]


def _rehearse(renderer: Renderer, voices: Sequence[str]) -> None:
    """Say everything once in a fixed order: what a synthesiser's sounds are like depends on what it has said before."""
    for voice in voices:
        for text in (*TEXTS, *BACKCHANNELS, *SIDE_TALK, LONG_ANSWERS[0]):
            renderer.speech(text, voice=voice)


def _one(
    agent: AgentChannel,
    kind: EventType,
    number: int,
    voice: str,
    recorded: Recorded | None,
    renderer: Renderer,
    seed: int,
) -> Overlap:
    rng = random.Random(f"{seed} {kind} {number}")
    made, text = _made(kind, rng) if recorded is None else _played(kind, rng, recorded.clips[kind], number, seed)
    name = f"{kind}{number}"
    script = Script(name=name, steps=(made,), voice=voice, seed=rng.randrange(1 << 31))
    (cue,) = renderer.cues(script)
    assert cue.clip is not None
    clip = cue.clip
    if kind is EventType.INTERRUPT and clip.span.end > LONGEST_S and recorded is not None:
        clip = clip_of(clip.pcm[: round(LONGEST_S * RATE_HZ)])
    asked = _question(voice, renderer) if recorded is None else None
    return Overlap(name, kind, clip, _packet(agent, clip, rng), text or cue.text, script, asked)


def _question(voice: str, renderer: Renderer) -> Clip | None:
    (cue,) = renderer.cues(Script(name="question", steps=(turn(LONG_ANSWERS[0]),), voice=voice))
    return cue.clip


def _made(kind: EventType, rng: random.Random) -> tuple[Sound, str]:
    """As the duplex bench draws them, with all interruptions that the benches have."""
    one = sound(kind, rng, Sounds(), 0)
    if kind is EventType.INTERRUPT:
        one = replace(one, parts=(Part(text=rng.choice(TEXTS)),))
    return one, ""


def _played(
    kind: EventType, rng: random.Random, clips: Sequence[tuple[str, str]], number: int, seed: int
) -> tuple[Sound, str]:
    """Every clip equally often, in an order of the seed's."""
    order = random.Random(f"{seed} {kind}").sample(range(len(clips)), len(clips))
    path, text = clips[order[number % len(clips)]]
    one = sound(kind, rng, Sounds(backchannels=(path,), noises=(path,)), 0)
    kind_of_tic = "laugh" if kind is EventType.TIC else one.kind
    return replace(one, kind=kind_of_tic, parts=(Part(wav=path),)), text


def _packet(agent: AgentChannel, clip: Clip, rng: random.Random) -> int:
    """At a word of ours: of a sound that begins in a pause nobody can say whether we were silent before it."""
    onset = agent.segments[0].start if agent.segments else 0.0
    for _ in range(TRIES):
        packet = round((onset + rng.uniform(FIRST_S, LAST_S)) / PACKET_S)
        at = packet * PACKET_S + clip.span.start
        if not any(span.start < at < span.end for span in agent.spans):
            continue
        stop = agent.stop_after(at)
        if stop is not None and stop - at > max(CONTROL_LEFT_S, clip.span.length + AFTER_OVERLAP_S) + SPARE_S:
            return packet
    raise AgentError(f"our answer is too short for a sound of {clip.span.length:.1f} s {FIRST_S:g} s after its onset")
