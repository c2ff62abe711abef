"""A row as bytes: to host memory and back, to another row, or to another worker of the same model.

What the row remembers is written oldest first, so a row with another window, or another place in the ring, can take it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import deque
from dataclasses import asdict
from typing import Any, Final

import safetensors
import safetensors.torch
import torch

from agent.errors import ModelError
from agent.model.moshi.config import MoshiConfig
from agent.model.moshi.lm import LMRow
from agent.model.moshi.orders import RowOrders
from agent.model.moshi.tick import Tick
from agent.model.protocol import Persona

_HEAD: Final = struct.Struct("<6sH16sI")
_MAGIC: Final = b"moshi\0"
VERSION: Final = 1


def pack_row(tick: Tick, row: int, orders: RowOrders) -> bytes:
    """Everything that the next step of ``row`` depends on."""
    kept = tick.lm.take_row(row)
    tensors = {f"memory.{name}": part for name, part in kept.memory.items()} | {"tokens": kept.tokens}
    for part, state in tick.states.items():
        tensors |= {f"{part}/{name}": tensor for name, tensor in state.take_row(row).items()}
    about = {
        "position": kept.position,
        "seed": int(tick.lm.seeds[row]),
        "persona": asdict(orders.persona),
        "forced": [list(step) for step in orders.forced],
        "words": list(orders.words),
        "silent": orders.silent,
    }
    described = json.dumps(about).encode()
    head = _HEAD.pack(_MAGIC, VERSION, fingerprint(tick), len(described))
    body: bytes = safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
    return head + described + body


def unpack_row(tick: Tick, row: int, blob: bytes) -> RowOrders:
    """Inverse of ``pack_row``, into any row. Raises ``ModelError`` and changes nothing where it does not fit."""
    about, tensors = _read(blob, fingerprint(tick))
    try:
        memory = {name.partition(".")[2]: part for name, part in tensors.items() if name.startswith("memory.")}
        kept = LMRow(int(about["position"]), tensors["tokens"], memory)
        states = {
            part: {name: tensors[f"{part}/{name}"] for name in state.tensors} for part, state in tick.states.items()
        }
        orders = RowOrders(
            persona=Persona(**about["persona"]),
            forced=deque(tuple(step) for step in about["forced"]),
            words=deque(about["words"]),
            silent=int(about["silent"]),
        )
        seed = int(about["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"snapshot: damaged ({error})") from None
    tick.lm.put_row(row, kept)
    tick.lm.seeds[row] = seed
    for part, state in tick.states.items():
        state.put_row(row, states[part])
    return orders


def _read(blob: bytes, wanted: bytes) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        magic, version, found, length = _HEAD.unpack_from(blob)
    except struct.error as error:
        raise ModelError(f"snapshot: {error}") from None
    if (magic, version) != (_MAGIC, VERSION):
        raise ModelError(f"snapshot version {magic!r} {version}")
    if found != wanted:
        raise ModelError("snapshot: of another model, or of another type of memory")
    begin = _HEAD.size + length
    try:
        about = json.loads(blob[_HEAD.size : begin])
        return dict(about), dict(safetensors.torch.load(blob[begin:]))
    except (ValueError, TypeError, safetensors.SafetensorError) as error:
        raise ModelError(f"snapshot: damaged ({error})") from None


def fingerprint(tick: Tick) -> bytes:
    """Rows fit from one model into another exactly where these 16 bytes are equal."""
    about = _shape(tick.config) | {"type": str(tick.lm.ring.keys.dtype)}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).digest()[:16]


def _shape(config: MoshiConfig) -> dict[str, Any]:
    return {"lm": asdict(config.lm), "mimi": asdict(config.mimi)}
