"""How a row starts: a persona's voice and role, taken in at once and kept, so that a call joins in one copy.

PersonaPlex is told, one frame after another: a sample of its voice, half a second of silence, its role as text, half
a second of silence; the caller's side meanwhile is a tone that it knows from training. All of that is known
beforehand, so no step of the pool is spent on it: one pass over the prompt (``Temporal.prefill``) gives a row that
any call can copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from agent.model.moshi.config import NOT_GENERATED, LMConfig
from agent.model.moshi.lm import LM, LMRow
from agent.model.moshi.voices import Voice

PAUSE_FRAMES: Final = 6
"""Half a second."""
SILENCE_CODES: Final = (948, 243, 1178, 546, 1736, 1030, 1978, 2008)
"""The codec's codes of silence (PersonaPlex, ``lm.py``)."""
TONE_CODES: Final = (430, 1268, 381, 1611, 1095, 1495, 56, 472)
"""Of a 440 Hz tone: what stands on the caller's side during a prompt."""


@dataclass(frozen=True, slots=True)
class PromptCodes:
    """What is heard and said while nobody speaks."""

    silence: tuple[int, ...] = SILENCE_CODES
    tone: tuple[int, ...] = TONE_CODES


@dataclass(frozen=True, slots=True)
class Prompt:
    """Frames 0 to n - 1; in the last one the caller's side is the call's first frame."""

    text: torch.Tensor
    """``[n]``"""
    said: torch.Tensor
    """``[n, spoken]``"""
    heard: torch.Tensor
    """``[n, heard]``"""
    embeddings: torch.Tensor | None
    """Inputs at the first positions, where they are known as such."""


@dataclass(frozen=True, slots=True)
class StartState:
    """A row that has taken its prompt in."""

    row: LMRow
    forced: tuple[tuple[int, ...], ...]
    """What the next steps give whatever is drawn: the prompt's streams that are behind."""


def write_prompt(config: LMConfig, codes: PromptCodes, *, role: tuple[int, ...], voice: Voice | None) -> Prompt | None:
    """``role``: tokens of the role's text. ``None`` where there is nothing to say."""
    if not role and voice is None:
        return None
    silence = torch.tensor(codes.silence[: config.spoken])
    padding = torch.tensor([config.text_padding])
    spoken = [] if voice is None else [voice.codes]
    text = [] if voice is None else [padding.expand(voice.frames)]
    parts = [(PAUSE_FRAMES, padding.expand(PAUSE_FRAMES))]
    if role:
        parts += [(len(role), torch.tensor(role)), (PAUSE_FRAMES, padding.expand(PAUSE_FRAMES))]
    parts.append((1, padding))
    for frames, tokens in parts:
        spoken.append(silence.expand(frames, -1))
        text.append(tokens)
    said = torch.cat(spoken)
    heard = torch.tensor(codes.tone[: config.heard]).expand(len(said), -1)
    return Prompt(torch.cat(text), said, heard, None if voice is None else voice.embeddings)


def take_in(lm: LM, prompt: Prompt) -> StartState:
    """The state of a row after ``prompt``, without touching any row of ``lm``."""
    config = lm.config
    frames = len(prompt.text)
    position, ring = frames - 1, config.max_delay + 2
    lines = torch.full((1 + config.streams, frames + config.max_delay), NOT_GENERATED, dtype=torch.int64)
    lines[:, 0] = config.card
    lines[0, 0] = config.text_card
    for stream, (delay, line) in enumerate(zip(config.delays, _streams(config, prompt), strict=True)):
        lines[stream, : delay + 1] = lines[stream, 0]
        at = torch.arange(1, len(line)) + delay
        lines[stream, at[at > delay]] = line[1:]
    device = lm.positions.device
    x = lm.temporal.embed(lines[:, :position].T.to(device))
    if prompt.embeddings is not None:
        x[: len(prompt.embeddings)] = prompt.embeddings.to(x)
    kept = min(position, config.context)
    keys, values = lm.temporal.prefill(x)
    tokens = torch.full((1 + config.streams, ring), NOT_GENERATED, dtype=torch.int64)
    for at in range(position, position + config.max_delay + 1):
        tokens[:, at % ring] = lines[:, at]
    ours = lines[: 1 + config.spoken, position + 1 :]
    memory = lm.ring.pack(keys[:, :, position - kept :], values[:, :, position - kept :])
    return StartState(LMRow(position, tokens.to(device), memory), tuple(tuple(step) for step in ours.T.tolist()))


def _streams(config: LMConfig, prompt: Prompt) -> list[torch.Tensor]:
    """Per stream its frames; the caller's last one is not there yet."""
    heard = prompt.heard[:-1]
    return [prompt.text, *prompt.said.T, *heard.T]
