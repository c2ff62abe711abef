"""The same tick by ``moshi``'s own generator (0.2.13), where that package is installed: ``bench engine``'s peer."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch

from agent.bench.statistics import percentile
from agent.model.moshi.checkpoint import Tensors
from agent.model.moshi.config import MoshiConfig, builtin
from agent.model.moshi.published import MIMI, MOSHI_7B


def measure_reference(
    config: MoshiConfig, lm: Tensors, mimi: Tensors, rows: Sequence[int], *, device: str, window: int, ticks: int
) -> dict[str, Any]:
    """Tick times per row count: encode, step, decode, as its server does. It reads its whole window at any age."""
    if find_spec("moshi") is None:
        return {"skipped": "the package moshi is not installed (pip install --no-deps moshi==0.2.13)"}
    if config.lm != builtin().lm or config.mimi != builtin().mimi:
        return {"skipped": "only the shape of moshi-7b is compared"}
    from moshi.models import loaders
    from moshi.models.lm import LMGen, LMModel

    dtype = lm["text_emb.weight"].dtype
    model = LMModel(device="meta", dtype=dtype, **(MOSHI_7B | {"context": window})).eval()
    model.load_state_dict(dict(lm), assign=True)
    codec = loaders.get_mimi(None, MIMI, device=device, num_codebooks=8)
    codec.load_state_dict(codec.state_dict() | dict(mimi), strict=False)
    found = []
    for count in rows:
        try:
            found.append(_measure(LMGen(model, support_out_of_sync=True), codec, count, device, ticks))
        except torch.OutOfMemoryError:
            found.append({"rows": count, "refused": "out of memory"})
        gc.collect()
        torch.cuda.empty_cache()
    return {"package": "moshi 0.2.13", "rows": found}


def _measure(gen: Any, codec: Any, rows: int, device: str, ticks: int) -> dict[str, Any]:
    times = []
    frame = 0.1 * torch.randn(rows, 1, codec.frame_size)
    with torch.inference_mode(), gen.streaming(rows), codec.streaming(rows):
        for tick in range(ticks + 5):
            began = time.perf_counter()
            tokens = gen.step(codec.encode(frame.to(device)))
            codec.decode(tokens[:, 1:].clamp_min(0)).cpu()
            if tick >= 5:
                times.append(time.perf_counter() - began)
    return {
        "rows": rows,
        "tick_p50_ms": round(1000 * percentile(times, 0.5), 3),
        "tick_p99_ms": round(1000 * percentile(times, 0.99), 3),
    }
