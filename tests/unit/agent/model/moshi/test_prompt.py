"""A prompt taken in at once is the prompt lived through, however its voice is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra gpu is not installed")

from agent.model.moshi.config import GREEDY, NOT_GENERATED, LMConfig  # noqa: E402
from agent.model.moshi.lm import LM  # noqa: E402
from agent.model.moshi.prompt import PAUSE_FRAMES, Prompt, PromptCodes, take_in, write_prompt  # noqa: E402
from agent.model.moshi.voices import Voice  # noqa: E402
from tests.unit.agent.model.moshi.shapes import tiny_config  # noqa: E402
from tests.unit.agent.model.moshi.tiny import lm_weights  # noqa: E402

CODES = PromptCodes(silence=(1, 2, 3, 4, 5, 6, 7, 8), tone=(9, 10, 11, 12, 13, 14, 15, 16))
ROLE = (5, 9, 20, 33)
FRAMES = 5


@pytest.fixture
def config(tmp_path: Path) -> LMConfig:
    return tiny_config(tmp_path).lm


def model(config: LMConfig, *, fp8: bool = False) -> LM:
    windows = [config.context, config.context]
    return LM(config, lm_weights(config), windows=windows, sampling=GREEDY, device="cpu", fp8=fp8)


def prompt(config: LMConfig, voice: Voice | None) -> Prompt:
    written = write_prompt(config, CODES, role=ROLE, voice=voice)
    assert written is not None
    return written


def spoken(config: LMConfig) -> Voice:
    """A voice of which every code is known."""
    codes = torch.randint(0, config.card, (FRAMES, config.spoken), generator=torch.Generator().manual_seed(3))
    return Voice(torch.zeros(0, config.dim), codes)


def test_order_is_voice_pause_role_pause(config: LMConfig) -> None:
    written = prompt(config, spoken(config))
    assert len(written.text) == FRAMES + PAUSE_FRAMES + len(ROLE) + PAUSE_FRAMES + 1
    assert written.text[FRAMES + PAUSE_FRAMES :][: len(ROLE)].tolist() == list(ROLE)
    assert set(written.text[: FRAMES + PAUSE_FRAMES].tolist()) == {config.text_padding}
    assert (written.said[FRAMES:] == torch.tensor(CODES.silence)).all()
    assert (written.heard == torch.tensor(CODES.tone)).all()
    assert write_prompt(config, CODES, role=(), voice=None) is None


@pytest.mark.parametrize("fp8", [False, True])
def test_state_is_that_of_every_frame_lived_through(config: LMConfig, fp8: bool) -> None:
    lm, written = model(config, fp8=fp8), prompt(config, spoken(config))
    written = replace(written, embeddings=None)
    last = len(written.text) - 1
    with torch.inference_mode():
        start = take_in(lm, written)
        for at in range(last):
            forced = torch.full((2, 1 + config.spoken), NOT_GENERATED)
            forced[:, 0], forced[:, 1] = written.text[at + 1], written.said[at + 1, 0]
            forced[:, 2:] = written.said[at, 1:]
            lm.step(written.heard[at].expand(2, -1), np.array([True, False]), forced=forced)
    lived = lm.take_row(0)
    assert start.row.position == lived.position == last
    lm.put_row(1, start.row)
    window = config.context
    pairs = zip(lm.ring.read(1, 1, 2, window, window), lm.ring.read(1, 0, 1, window, window), strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, atol=1e-5 if not fp8 else 0.3, rtol=1e-4 if not fp8 else 0.1)
    at = last % (config.max_delay + 2)
    assert torch.equal(start.row.tokens[: 1 + config.spoken, at], lived.tokens[: 1 + config.spoken, at])
    assert start.forced == ((NOT_GENERATED, NOT_GENERATED, *CODES.silence[1:]),)


def test_voice_kept_as_inputs_is_the_voice_kept_as_codes(config: LMConfig) -> None:
    lm, voice = model(config), spoken(config)
    lines = torch.full((FRAMES - 1, 1 + config.streams), config.card)
    lines[0, 0], lines[1:, 0] = config.text_card, config.text_padding
    for position in range(1, FRAMES - 1):
        lines[position, 1], lines[position, 1 + config.spoken] = voice.codes[position, 0], CODES.tone[0]
        if position > 1:
            lines[position, 2 : 1 + config.spoken] = voice.codes[position - 1, 1:]
            lines[position, 2 + config.spoken :] = torch.tensor(CODES.tone[1:])
    near = voice.codes.clone()
    near[: FRAMES - 2] = NOT_GENERATED  # a voice's file knows no more
    with torch.inference_mode():
        kept = Voice(lm.temporal.embed(lines), near)
        one = take_in(lm, replace(prompt(config, voice), embeddings=None))
        other = take_in(lm, prompt(config, kept))
    assert one.forced == other.forced
    assert torch.equal(one.row.tokens, other.row.tokens)
    for name in one.row.memory:
        torch.testing.assert_close(one.row.memory[name], other.row.memory[name], atol=1e-5, rtol=1e-4)
