"""Step by step against ``moshi`` 0.2.13 on tiny random weights: rows that come, rest, start anew and slide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra gpu is not installed")
pytest.importorskip("moshi", reason="moshi 0.2.13 is not installed (pip install --no-deps moshi==0.2.13)")

from moshi.models import lm as reference_lm  # noqa: E402
from moshi.models import loaders  # noqa: E402
from moshi.models.lm import LMGen, LMModel  # noqa: E402

from agent.model.moshi.config import GREEDY, NOT_GENERATED, MoshiConfig, Sampling  # noqa: E402
from agent.model.moshi.lm import LM, StepLogits  # noqa: E402
from agent.model.moshi.mimi import Decoder, Encoder  # noqa: E402
from agent.model.moshi.prompt import PromptCodes, take_in, write_prompt  # noqa: E402
from agent.model.moshi.sampling import sample  # noqa: E402
from agent.model.moshi.voices import Voice  # noqa: E402
from tests.unit.agent.model.moshi.shapes import LM as SHAPE  # noqa: E402
from tests.unit.agent.model.moshi.shapes import mimi_shape, tiny_config  # noqa: E402
from tests.unit.agent.model.moshi.tiny import lm_weights, mimi_weights  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the reference imports
ROWS = 3
CODES = PromptCodes(silence=(1, 2, 3, 4, 5, 6, 7, 8), tone=(9, 10, 11, 12, 13, 14, 15, 16))


@pytest.fixture
def config(tmp_path: Path) -> MoshiConfig:
    torch.manual_seed(0)
    return tiny_config(tmp_path)


def both_lms(config: MoshiConfig, *, rows: int, sampling: Sampling = GREEDY) -> tuple[Any, LM]:
    weights = lm_weights(config.lm)
    reference = LMModel(device="cpu", dtype=torch.float32, **SHAPE).eval()
    reference.load_state_dict(weights)
    windows = [config.lm.context] * rows
    return reference, LM(config.lm, weights, windows=windows, sampling=sampling, device="cpu")


@pytest.mark.parametrize("rows", [1, ROWS])
def test_logits_and_tokens_are_those_of_the_reference(config: MoshiConfig, rows: int) -> None:
    reference, ours = both_lms(config, rows=rows)
    text_logits: list[Any] = []
    gen = LMGen(
        reference,
        use_sampling=False,
        support_out_of_sync=True,
        on_text_logits_hook=lambda logits: text_logits.append(logits.clone()),
    )
    rng = np.random.default_rng(5)
    with torch.inference_mode(), gen.streaming(rows):
        for step in range(40):
            heard = torch.from_numpy(rng.integers(0, config.lm.card, (rows, 8)))
            active = rng.random(rows) < 0.8
            if step == 20:  # one row starts anew, with every stream's memory behind it
                gen.reset_streaming(torch.arange(rows) == rows - 1)
                ours.reset(rows - 1)
            gen.set_exec_mask(torch.from_numpy(active))
            kept: list[StepLogits] = []
            theirs, mine = gen.step(heard[..., None])[..., 0], ours.step(heard, active, keep=kept)
            assert torch.equal(theirs, mine), step
            torch.testing.assert_close(kept[0].text[active], text_logits[-1][active][:, 0, 0], atol=1e-5, rtol=1e-5)


def test_drawn_tokens_are_those_of_the_reference_with_the_same_noise(
    config: MoshiConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = Sampling(audio_temperature=0.8, audio_top_k=10, text_temperature=0.7, text_top_k=5)
    reference, ours = both_lms(config, rows=ROWS, sampling=sampling)
    ours.seeds[:] = torch.tensor([3, 3, 2**40 + 1])
    stream = 0

    def draw(logits: Any, use_sampling: bool, temperature: float, top_k: int) -> Any:
        nonlocal stream
        drawn = sample(logits[:, 0, 0], ours.seeds, ours.positions, stream, temperature=temperature, top_k=top_k)
        stream = (stream + 1) % 9
        return drawn[:, None, None]

    monkeypatch.setattr(reference_lm, "sample_token", draw)
    gen = LMGen(reference, temp=0.8, temp_text=0.7, top_k=10, top_k_text=5, support_out_of_sync=True)
    every = np.ones(ROWS, np.bool_)
    with torch.inference_mode(), gen.streaming(ROWS):
        for step in range(20):
            heard = torch.randint(0, config.lm.card, (1, 8)).expand(ROWS, 8)
            theirs = gen.step(heard[..., None])[..., 0]
            mine = ours.step(heard, every)
            assert torch.equal(theirs, mine), step
            assert torch.equal(mine[0], mine[1]), "the same seed and audio"
    assert not torch.equal(ours.tokens[0], ours.tokens[2]), "another seed"


@pytest.mark.parametrize("voice_frames", [0, 5])
def test_prompt_taken_in_at_once_is_the_prompt_fed_frame_by_frame(config: MoshiConfig, voice_frames: int) -> None:
    """The reference is told every frame of it through its hooks; then both hear the same call."""
    reference, ours = both_lms(config, rows=2)
    voice = None
    if voice_frames:
        codes = torch.randint(0, config.lm.card, (voice_frames, 8))
        voice = Voice(torch.zeros(0, config.lm.dim), codes)
    prompt = write_prompt(config.lm, CODES, role=(5, 9, 20, 33), voice=voice)
    assert prompt is not None
    prompt = type(prompt)(prompt.text, prompt.said, prompt.heard, None)
    last = len(prompt.text) - 1
    at = 0

    def tell_text(text: Any) -> None:
        if at + 1 <= last:
            text[:] = prompt.text[at + 1]

    def tell_codes(codes: Any) -> None:
        if at + 1 <= last:
            codes[:, 0] = prompt.said[at + 1, 0]
        if at <= last:
            codes[:, 1:] = prompt.said[at, 1:]

    gen = LMGen(
        reference, use_sampling=False, support_out_of_sync=True, on_text_hook=tell_text, on_audio_hook=tell_codes
    )
    start = take_in(ours, prompt)
    ours.put_row(1, start.row)
    assert start.row.position == last
    with torch.inference_mode(), gen.streaming(1):
        for at in range(last):
            gen.step(prompt.heard[at][None, :, None])
        for step in range(25):
            at = last + step
            heard = torch.randint(0, config.lm.card, (1, 8))
            forced = torch.full((2, 9), NOT_GENERATED)
            if step < len(start.forced):
                forced[1] = torch.tensor(start.forced[step])
            theirs = gen.step(heard[..., None])[..., 0]
            mine = ours.step(heard.expand(2, 8), np.array([False, True]), forced=forced)
            assert torch.equal(theirs[0], mine[1]), step


def reference_codec(weights: dict[str, Any]) -> Any:
    codec = loaders.get_mimi(None, mimi_shape(), num_codebooks=8)
    state = {name: part for name, part in codec.state_dict().items() if not name.endswith("_embedding")}
    codec.load_state_dict(state | weights, strict=False)
    for module in codec.modules():
        if hasattr(module, "_embedding"):
            module._embedding = None  # computed from the sums before they were loaded
    return codec


def test_codes_and_audio_are_those_of_the_reference(config: MoshiConfig) -> None:
    weights = mimi_weights(config)
    reference = reference_codec(weights)
    encoder = Encoder(config.mimi, weights, rows=ROWS, codebooks=8, device="cpu")
    decoder = Decoder(config.mimi, weights, rows=ROWS, codebooks=8, device="cpu")
    rng = np.random.default_rng(7)
    seen: set[int] = set()
    with torch.inference_mode(), reference.streaming(ROWS):
        for step in range(20):
            audio = torch.from_numpy(rng.standard_normal((ROWS, 1, 1920)).astype(np.float32)) * 0.3
            active = torch.from_numpy(rng.random(ROWS) < 0.8)
            if step == 9:
                reference.reset_streaming(torch.tensor([False, True, False]))
                encoder.state.reset(1)
                decoder.state.reset(1)
            reference.set_exec_mask(active)
            codes = reference.encode(audio)
            assert torch.equal(encoder.step(audio[:, 0], active)[active], codes[active][..., 0]), step
            heard = decoder.step(codes[..., 0], active)
            torch.testing.assert_close(heard[active], reference.decode(codes)[active][:, 0], atol=1e-4, rtol=1e-4)
            seen |= set(codes.flatten().tolist())
    assert len(seen) > 5, "weights that make every code the same prove nothing"


def test_streamed_frames_are_those_of_the_whole_recording(config: MoshiConfig) -> None:
    """Three frames: beyond its short memory the codec, streaming, hears one step less at a frame's begin."""
    weights = mimi_weights(config)
    reference = reference_codec(weights)
    encoder = Encoder(config.mimi, weights, rows=2, codebooks=8, device="cpu")
    decoder = Decoder(config.mimi, weights, rows=2, codebooks=8, device="cpu")
    audio = 0.3 * torch.randn(2, 1, 3 * 1920, generator=torch.Generator().manual_seed(2))
    every = torch.ones(2, dtype=torch.bool)
    with torch.inference_mode():
        whole = reference.encode(audio)
        codes = [encoder.step(audio[:, 0, i * 1920 : (i + 1) * 1920], every) for i in range(3)]
        assert torch.equal(torch.stack(codes, dim=2), whole)
        heard = torch.cat([decoder.step(one, every) for one in codes], dim=1)
        torch.testing.assert_close(heard, reference.decode(whole)[:, 0], atol=1e-4, rtol=1e-4)
