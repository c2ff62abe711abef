"""Triton kernels against plain PyTorch. Runs on a GPU, or anywhere with ``TRITON_INTERPRET=1``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra gpu is not installed")
pytest.importorskip("triton", reason="Triton is not installed")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not (torch.cuda.is_available() or INTERPRETED):
    pytest.skip("no CUDA device (TRITON_INTERPRET=1 runs them on the CPU)", allow_module_level=True)

from agent.model.moshi.config import Sampling  # noqa: E402
from agent.model.moshi.kernels import TritonOps  # noqa: E402
from agent.model.moshi.kv import KvRing  # noqa: E402
from agent.model.moshi.layers import rope_frequencies, rope_turns  # noqa: E402
from agent.model.moshi.lm import LM  # noqa: E402
from agent.model.moshi.ops import TorchOps  # noqa: E402
from tests.unit.agent.model.moshi.shapes import tiny_config  # noqa: E402
from tests.unit.agent.model.moshi.tiny import lm_weights  # noqa: E402

DEVICE = "cpu" if INTERPRETED else "cuda"
PLAIN, FAST = TorchOps(), TritonOps()
HEADS, HEAD_DIM = 2, 32


def close(a: Any, b: Any, dtype: Any) -> None:
    tolerance = 1e-5 if dtype is torch.float32 else 2e-2
    torch.testing.assert_close(a.float(), b.float(), atol=tolerance, rtol=tolerance)


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["f32", "bf16"])
def dtype(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(1)
    return request.param


def rand(*shape: int, dtype: Any) -> Any:
    return torch.randn(*shape, device=DEVICE).to(dtype)


@pytest.mark.parametrize("width", [64, 100])
def test_norms_and_gates_are_those_of_pytorch(dtype: Any, width: int) -> None:
    x, update, alpha = rand(3, width, dtype=dtype), rand(3, width, dtype=dtype), rand(width, dtype=torch.float32)
    close(FAST.norm(x, alpha), PLAIN.norm(x, alpha), dtype)
    for fast, plain in zip(FAST.add_norm(x, update, alpha), PLAIN.add_norm(x, update, alpha), strict=True):
        close(fast, plain, dtype)
    both = rand(3, 2 * width, dtype=dtype)
    close(FAST.gate(both), PLAIN.gate(both), dtype)


def ring(dtype: Any, *, fp8: bool) -> KvRing:
    made = KvRing(
        layers=2,
        heads=HEADS,
        head_dim=HEAD_DIM,
        windows=[600, 600, 70],
        dtype=dtype,
        device=DEVICE,
        fp8=fp8,
    )
    slots = made.keys.shape[2]
    filled = made.pack(*(rand(2, HEADS, slots, HEAD_DIM, dtype=dtype) for _ in range(2)))
    made.keys.copy_(filled["keys"])
    made.values.copy_(filled["values"])
    if made.key_scales is not None and made.value_scales is not None:
        made.key_scales.copy_(filled["key_scales"])
        made.value_scales.copy_(filled["value_scales"])
    return made


@pytest.mark.parametrize("fp8", [False, True])
def test_written_keys_are_those_of_pytorch(dtype: Any, fp8: bool) -> None:
    if fp8 and INTERPRETED:
        pytest.skip("Triton's interpreter drops a carry on the way to e4m3: 127.9 becomes 64")
    rings = []
    positions = torch.tensor([0, 1234, 69], device=DEVICE)
    active = torch.tensor([True, True, False], device=DEVICE)
    projected = rand(3, 3 * HEADS * HEAD_DIM, dtype=dtype)
    cosine, sine = rope_turns(positions, rope_frequencies(HEAD_DIM, 10000.0, DEVICE))
    queries = []
    for ops in (PLAIN, FAST):
        torch.manual_seed(2)
        made = ring(dtype, fp8=fp8)
        queries.append(ops.turn_and_write(projected, cosine, sine, made, 1, made.slots(positions, active)))
        rings.append(made)
    close(queries[0], queries[1], dtype)
    for first, past, window in rings[0].classes:
        pairs = zip(*(made.read(1, first, past, window, window) for made in rings), strict=True)
        for plain, fast in pairs:
            close(plain, fast, torch.bfloat16 if fp8 else dtype)


@pytest.mark.parametrize("fp8", [False, True])
@pytest.mark.parametrize("lengths", [[600, 600, 70], [1, 257, 3], [256, 64, 1]])
def test_attention_is_that_of_pytorch_and_reads_each_rows_own_length(dtype: Any, fp8: bool, lengths: list[int]) -> None:
    if dtype is torch.bfloat16 and INTERPRETED:
        pytest.skip("Triton's interpreter multiplies matrices of bfloat16 as if they were integers")
    made = ring(dtype, fp8=fp8)
    query, many = rand(3, HEADS, HEAD_DIM, dtype=dtype), torch.tensor(lengths, device=DEVICE)
    wanted = PLAIN.attend(query, made, 1, many, 600)
    close(FAST.attend(query, made, 1, many, 600), wanted, torch.bfloat16 if fp8 else dtype)
    for row, (length, window) in enumerate(zip(lengths, [600, 600, 70], strict=True)):  # what is beyond is never read
        base = int(made.bases[row])
        made.keys.view(torch.uint8)[:, :, base + length : base + window] = 0x7F
    again = FAST.attend(query, made, 1, many, 600)
    close(again, wanted, torch.bfloat16 if fp8 else dtype)


def test_drawn_tokens_are_those_of_pytorch() -> None:
    torch.manual_seed(4)
    values, tokens = rand(64, 25, dtype=torch.float32), torch.randint(0, 32000, (64, 25), device=DEVICE)
    seeds = torch.randint(-(2**62), 2**62, (64,), device=DEVICE)
    positions = torch.randint(0, 5000, (64,), device=DEVICE)
    for stream in (0, 8):
        given = (values, tokens, seeds, positions, stream, 0.7)
        assert torch.equal(FAST.draw(*given), PLAIN.draw(*given))


def test_a_step_of_all_rows_gives_the_tokens_of_pytorch(tmp_path: Path) -> None:
    config = tiny_config(tmp_path).lm
    weights = {name: part.to(DEVICE) for name, part in lm_weights(config).items()}
    both = [
        LM(config, weights, windows=[12, 12, 5], sampling=Sampling(), device=DEVICE, ops=ops) for ops in (PLAIN, FAST)
    ]
    rng = np.random.default_rng(1)
    with torch.inference_mode():
        for _ in range(4 if INTERPRETED else 40):
            heard = torch.from_numpy(rng.integers(0, config.card, (3, 8))).to(DEVICE)
            active = rng.random(3) < 0.8
            plain, fast = (lm.step(heard, active) for lm in both)
            assert torch.equal(plain, fast)
