"""Who takes part in one call: the caller, somebody else in the room, our voice. They say things; they place nothing."""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np

from agent.training.conversation import sounds
from agent.training.conversation.labels import Overlap, Sound
from agent.training.conversation.material import Material
from agent.training.conversation.performance import Performed, human_clip, human_digits, perform
from agent.training.text.answer import Answer, State, breaths_of
from agent.training.voices.human import DIGIT_WORDS, HumanClip, pick
from agent.training.voices.persona import Persona, draw_persona
from agent.training.voices.pico_voice import RESPELT
from agent.training.voices.roster import synth
from agent.training.voices.spoken import Audio, at_level

Rng = np.random.Generator
HUMAN_EVENT: Final = 0.3
SOFTER_DB: Final = (-10.0, 0.0)
"""Backchannels and tics are softer than speech."""
CLAUSE_GAP_S: Final = (0.1, 0.35)
OWN_LEVEL_DB: Final = -20.0
TRIES: Final = 12
_ACCENTED = frozenset(next(iter(RESPELT.values())))


class Cast:
    """The speakers of one call."""

    def __init__(self, material: Material, rng: Rng) -> None:
        self._material, self._rng = material, rng
        self.human = material.humans is not None and rng.random() < material.human_share
        self.persona = draw_persona(material.voices, rng)
        others = [spec for spec in material.voices if not spec.digits_only]
        self.other = draw_persona(others, rng)
        if self.persona.spec.digits_only and not self.human:
            self._english = draw_persona(others, rng)
        else:
            self._english = self.persona if not self.persona.spec.digits_only else self.other
        self._own = synth(material.own_voices[int(rng.integers(len(material.own_voices)))])

    # --- the caller ---

    def turn(self, answer: Answer) -> tuple[Performed, str]:
        """A turn as sound, and who said it. Raises ``VoiceFailed``."""
        if self.human:
            found = self._human_turn(answer)
            if found is not None:
                return found
        persona = self._speaker(answer)
        return perform(answer, persona, self._rng, question=answer.words[0] in _ASKING), persona.name

    def listening(self) -> tuple[Audio, str]:
        """A backchannel."""
        humans, rng = self._material.humans, self._rng
        if humans is not None and humans.backchannels and rng.random() < HUMAN_EVENT:
            clip = pick(humans.backchannels, rng)
            said = humans.say(clip)
            if said.pcm.size:
                return self._softer(said.pcm), clip.text
        text = self._material.text.listening(rng)
        return self._softer(self._english.say(text, rng, mark="." if rng.random() < 0.7 else ",").pcm), text

    def tic(self) -> tuple[Audio, str]:
        """A cough, a breath, an "um"."""
        humans, rng = self._material.humans, self._rng
        draw = rng.random()
        if draw < 0.25:
            text = self._material.text.tic(rng)
            return self._softer(self._english.say(text, rng, mark=",").pcm), text
        if draw < 0.32 and humans is not None and humans.tics:
            return self._softer(self._piece(humans.sound(pick(humans.tics, rng)), 0.5, 2.0)), "laugh"
        return self._softer(sounds.tic(rng)), ""

    def takes(self) -> Answer:
        """An interruption as text."""
        return self._material.text.takes(self._rng)

    # --- others and things ---

    def side(self) -> tuple[Audio, str]:
        """Talk to or of somebody else, at the level of a mouth at the phone."""
        humans, rng = self._material.humans, self._rng
        if humans is not None and humans.read and rng.random() < HUMAN_EVENT:
            return humans.say(pick(humans.read, rng)).pcm, ""
        text = self._material.text.side(rng)
        speaker = self.other if rng.random() < 0.7 else self._english
        return speaker.say(text, rng).pcm, text

    def television(self, samples: int) -> Audio:
        """Talk, music or both, for as long as is wanted."""
        humans, rng = self._material.humans, self._rng
        out = np.zeros(samples, np.float32)
        kind = rng.random()
        if kind < 0.65:
            at = -int(rng.integers(0, 8000))
            while at < samples:
                piece = self._broadcast()
                first, last = max(0, at), min(samples, at + piece.size)
                if last > first:
                    out[first:last] += piece[first - at : last - at]
                at += piece.size + int(rng.integers(400, 6000))
        if kind > 0.45:
            tune = (
                _looped(humans.sound(pick(humans.music, rng)), samples)
                if humans is not None and humans.music and rng.random() < 0.5
                else sounds.music(samples, rng)
            )
            out += tune * np.float32(1.0 if kind > 0.65 else rng.uniform(0.1, 0.7))
        return out

    def noise(self) -> Audio:
        """A noise with a beginning and an end."""
        humans, rng = self._material.humans, self._rng
        if humans is not None and humans.noises and rng.random() < 0.25:
            return self._piece(humans.sound(pick(humans.noises, rng)), 0.4, 2.5)
        return sounds.burst(rng)

    # --- our own voice ---

    def own(self, text: str) -> Audio:
        """What our agent says, clause by clause. Raises ``VoiceFailed``."""
        parts: list[Audio] = []
        for clause in text.split(","):
            if not clause.strip():
                continue
            if parts:
                parts.append(np.zeros(round(self._rng.uniform(*CLAUSE_GAP_S) * 8000), np.float32))
            asked = clause.endswith("?")
            said = self._own.say(clause.strip(" ?"), mark="?" if asked else ".")
            parts.append(at_level(said.pcm, OWN_LEVEL_DB))
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    # --- parts ---

    def _speaker(self, answer: Answer) -> Persona:
        accented = self.persona.spec.digits_only and all(word in _ACCENTED for word in answer.words)
        return self.persona if accented else self._english

    def _human_turn(self, answer: Answer) -> tuple[Performed, str] | None:
        """A recording that fits the answer, or ``None`` where there is none."""
        humans, rng = self._material.humans, self._rng
        if humans is None:
            return None
        speakers = humans.digit_speakers()
        only_digits = [b.text for b in answer.breaths if all(word in DIGIT_WORDS for word in b.words)]
        if answer.state is State.DIGITS and speakers and len(only_digits) == len(answer.breaths):
            speaker = speakers[int(rng.integers(len(speakers)))]
            return human_digits(_groups(answer), speaker, humans, rng), f"human:{speaker}"
        choices: list[HumanClip] = humans.saying.get(" ".join(answer.words), [])
        if not choices and answer.state in {State.FREE, State.INTENTS, State.OPENING}:
            draw = rng.random()
            choices = humans.answers if draw < 0.6 else humans.read if draw < 0.8 else humans.short
        if not choices:
            return None
        clip = pick(choices, rng)
        found = human_clip(clip, humans)
        return (found, f"human:{clip.speaker}") if found.speech else None

    def _broadcast(self) -> Audio:
        humans, rng = self._material.humans, self._rng
        if humans is not None and humans.talk and rng.random() < 0.4:
            return self._piece(humans.sound(pick(humans.talk, rng)), 3.0, 10.0)
        breaths = breaths_of(self._material.text.television(rng))
        return self.other.say(breaths[0].text, rng).pcm

    def _softer(self, pcm: Audio) -> Audio:
        return pcm * np.float32(10 ** (self._rng.uniform(*SOFTER_DB) / 20))

    def _piece(self, pcm: Audio, shortest_s: float, longest_s: float) -> Audio:
        """A stretch of a longer recording, with soft edges."""
        length = min(pcm.size, round(self._rng.uniform(shortest_s, longest_s) * 8000))
        at = int(self._rng.integers(0, pcm.size - length + 1))
        piece = pcm[at : at + length].copy()
        edge = min(160, length // 2)
        piece[:edge] *= np.linspace(0, 1, edge, dtype=np.float32)
        piece[length - edge :] *= np.linspace(1, 0, edge, dtype=np.float32)
        return piece


_ASKING = frozenset(
    {"where", "when", "what", "why", "how", "who", "which", "can", "could", "do", "does", "is", "are", "may"}
)
SOUND_OF: Final = {
    Overlap.BACKCHANNEL: Sound.BACKCHANNEL,
    Overlap.TIC: Sound.TIC,
    Overlap.SIDE: Sound.SIDE,
    Overlap.NOISE: Sound.NOISE,
    Overlap.TAKES: Sound.SPEECH,
}


def _groups(answer: Answer) -> list[str]:
    """Digit words by group: cut at every place where a pause may fall."""
    found = []
    for breath in answer.breaths:
        edges = [0, *breath.cuts, len(breath.words)]
        found += [" ".join(breath.words[a:b]) for a, b in itertools.pairwise(edges)]
    return found


def _looped(pcm: Audio, samples: int) -> Audio:
    return np.tile(pcm, -(-samples // pcm.size))[:samples]
