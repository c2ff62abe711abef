"""Scripts that the benches make themselves: turns with pauses, and sounds over the agent's voice, by seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

from agent.simulator.script import Part, Script, Sound, Step, Trigger, WaitReply, When
from agent.simulator.truth import EventType

QUESTIONS = (
    "what are your opening hours",
    "tell me your opening hours please",
    "when are you open",
    "until when are you open",
)
STATEMENTS = (
    "I have a question about a delivery",
    "there was nobody at home yesterday",
    "I would like to know what happened",
    "the box was left in front of the door",
    "could you tell me a little more about that",
    "I am not quite sure that I understood you",
    "my neighbour took it in the afternoon",
)
INTERRUPTIONS_SHORT = ("no wait", "stop please", "hold on", "excuse me")
INTERRUPTIONS_LONG = (
    "no, that is not what I meant, I asked about something else",
    "wait a moment, I need to tell you something first",
    "sorry, can I ask you another question instead please",
)
BACKCHANNELS = ("mhm", "uh huh", "yeah", "right", "okay", "I see")
SIDE_TALK = ("put it on the table please", "no, not now, I am on the phone", "can you close the window")
TICS = ("cough", "throat", "um", "breath", "laugh")
NOISES = ("babble", "street", "tv", "white")
PAUSES_MS = (450, 800, 1300, 2000)
"""One for each bucket of pause lengths."""
OVERLAPS = (
    EventType.INTERRUPT,
    EventType.BACKCHANNEL,
    EventType.TIC,
    EventType.SIDE_TALK,
    EventType.NOISE,
)


def overlap(kind: EventType, rng: random.Random, *, after_ms: int) -> Sound:
    """One sound of ``kind`` over the agent's voice."""
    when = When(trigger=Trigger.AGENT_SPEAKS, after_ms=after_ms, timeout_ms=6000)
    if kind is EventType.NOISE:
        return Sound(line=0, type=kind, kind=rng.choice(NOISES), ms=rng.choice((400, 800, 1200)), snr_db=5.0, when=when)
    if kind is EventType.TIC:
        return Sound(line=0, type=kind, kind=rng.choice(TICS), when=when)
    texts = {
        EventType.INTERRUPT: INTERRUPTIONS_SHORT + INTERRUPTIONS_LONG,
        EventType.BACKCHANNEL: BACKCHANNELS,
        EventType.SIDE_TALK: SIDE_TALK,
    }[kind]
    gain_db = -14.0 if kind is EventType.SIDE_TALK else 0.0
    return Sound(line=0, type=kind, parts=(Part(text=rng.choice(texts)),), gain_db=gain_db, when=when)


def turn(text: str, *, pause_ms: int = 0) -> Sound:
    """A turn that expects a reply; ``pause_ms`` is a pause in its middle."""
    words = text.split()
    middle = len(words) // 2
    parts: tuple[Part, ...] = (Part(text=text),)
    if pause_ms:
        parts = (Part(text=" ".join(words[:middle])), Part(pause_ms=pause_ms), Part(text=" ".join(words[middle:])))
    return Sound(line=0, type=EventType.TURN, parts=parts, expect="reply")


def chat_script(
    name: str, *, seed: int, seconds: float, texts: Sequence[str] = STATEMENTS, voice: str = "", after_ms: int = 700
) -> Script:
    """A caller that talks for ``seconds``: pauses in some turns, sounds of every kind over the answers."""
    rng = random.Random(seed)
    kinds = list(OVERLAPS)
    rng.shuffle(kinds)
    steps: list[Step] = [WaitReply(line=0, settle_ms=800, timeout_ms=8000)]
    for index in range(max(2, int(seconds / 5))):
        pause_ms = PAUSES_MS[(seed + index // 2) % len(PAUSES_MS)] if index % 2 else 0
        steps.append(turn(rng.choice(list(texts)), pause_ms=pause_ms))
        if index % 2 == 0:
            steps.append(overlap(kinds[index // 2 % len(kinds)], rng, after_ms=after_ms))
        steps.append(WaitReply(line=0, settle_ms=1000, timeout_ms=8000))
    return Script(name=name, steps=tuple(steps), seed=seed, voice=voice, max_s=seconds)
