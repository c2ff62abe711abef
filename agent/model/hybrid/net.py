"""Layers of a hybrid model over rows: weights drawn at random, state in columns. numpy alone.

Shapes: ``B`` rows that move, ``w`` width, ``s`` channels of a recurrent layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.model.hybrid.config import FRAME, FRAMES, HOP, IN_HZ, HybridConfig
from agent.model.parts.rowstate import RowState

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Rows = NDArray[np.intp]

_EPS: Final = 1e-6


class Weights:
    """Matrices of one model, by name, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.size = 0

    def matrix(self, inputs: int, outputs: int) -> Floats:
        """``[inputs, outputs]`` that keep the size of what goes through them."""
        self.size += inputs * outputs
        return self._rng.normal(0.0, inputs**-0.5, (inputs, outputs)).astype(np.float32)

    def table(self, entries: int, width: int) -> Floats:
        self.size += entries * width
        return self._rng.normal(0.0, 1.0, (entries, width)).astype(np.float32)


class State(RowState):
    """Everything that a row remembers."""

    def column(self, name: str, shape: tuple[int, ...] = (), dtype: Any = np.float32, initial: float = 0) -> Any:
        return self._column(name, dtype, initial, shape)

    @property
    def bytes_per_row(self) -> int:
        return sum(array[:1].nbytes for array, _ in self._columns.values())


def norm(x: Floats) -> Floats:
    scaled: Floats = (x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + _EPS)).astype(np.float32)
    return scaled


def silu(x: Floats) -> Floats:
    out: Floats = (x / (1.0 + np.exp(-x))).astype(np.float32)
    return out


def sigmoid(x: Floats) -> Floats:
    out: Floats = (1.0 / (1.0 + np.exp(-x))).astype(np.float32)
    return out


class Ears:
    """Streaming log-mel features and a causal encoder: what the model hears, without a codec.

    ``[B, 1280]`` samples at 16 kHz to ``[B, w]``.
    """

    def __init__(self, config: HybridConfig, weights: Weights, state: State) -> None:
        self._past = state.column("ears.past", (FRAME - HOP,))
        self._window = np.hanning(FRAME).astype(np.float32)
        self._bands = mel_bands(config.bands)
        self._project = weights.matrix(FRAMES * config.bands, config.width)

    def step(self, audio: Floats, rows: Rows) -> Floats:
        line = np.concatenate((self._past[rows], audio), axis=1)
        self._past[rows] = line[:, line.shape[1] - (FRAME - HOP) :]
        frames = np.stack([line[:, k * HOP : k * HOP + FRAME] for k in range(FRAMES)], axis=1)
        power = np.abs(np.fft.rfft(frames * self._window, axis=2)) ** 2
        features = np.log(power.astype(np.float32) @ self._bands + 1e-6) / 4.0 + 1.0
        encoded: Floats = silu(features.reshape(len(rows), -1) @ self._project)
        return encoded


def mel_bands(bands: int) -> Floats:
    """``[bins, bands]`` triangles, evenly spaced in mel up to 8 kHz."""
    bins = np.linspace(0, IN_HZ / 2, FRAME // 2 + 1)
    edges = 700.0 * (10.0 ** (np.linspace(0, 2840.0, bands + 2) / 2595.0) - 1.0)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - low) / (middle - low)
    falling = (high - bins[:, None]) / (high - middle)
    found: Floats = np.clip(np.minimum(rising, falling), 0.0, None).astype(np.float32)
    return found


class Recurrent:
    """A gated diagonal recurrence: state of fixed size, whatever the age of a call."""

    def __init__(self, name: str, config: HybridConfig, weights: Weights, state: State) -> None:
        width, channels = config.width, config.state
        self._state = state.column(name, (channels,))
        self._value, self._decay = weights.matrix(width, channels), weights.matrix(width, channels)
        self._gate, self._out = weights.matrix(width, channels), weights.matrix(channels, width)

    def step(self, x: Floats, rows: Rows, position: Ints) -> Floats:
        seen = norm(x)
        keep = sigmoid(seen @ self._decay + 2.0)
        self._state[rows] = kept = keep * self._state[rows] + (1.0 - keep) * (seen @ self._value)
        moved: Floats = (x + (norm(kept) * silu(seen @ self._gate)) @ self._out).astype(np.float32)
        return moved


class Attention:
    """Grouped-query attention over a ring of the last steps."""

    def __init__(self, name: str, config: HybridConfig, weights: Weights, state: State) -> None:
        width, dim = config.width, config.head_dim
        self._config = config
        self._keys = state.column(f"{name}.keys", (config.window, config.groups, dim))
        self._values = state.column(f"{name}.values", (config.window, config.groups, dim))
        self._query = weights.matrix(width, width)
        self._key, self._value = (weights.matrix(width, config.groups * dim) for _ in range(2))
        self._out = weights.matrix(width, width)

    def step(self, x: Floats, rows: Rows, position: Ints) -> Floats:
        config, seen, n = self._config, norm(x), len(rows)
        shape = (n, config.groups, config.head_dim)
        at = position % config.window
        self._keys[rows, at] = (seen @ self._key).reshape(shape)
        self._values[rows, at] = (seen @ self._value).reshape(shape)
        shared = config.heads // config.groups
        query = (seen @ self._query).reshape(n, config.groups, shared, config.head_dim)
        scores = np.einsum("bgsd,bngd->bgsn", query, self._keys[rows]) * config.head_dim**-0.5
        there = np.arange(config.window) <= position[:, None]
        scores = np.where(there[:, None, None], scores, -np.inf)
        weight = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weight /= weight.sum(axis=-1, keepdims=True)
        mixed = np.einsum("bgsn,bngd->bgsd", weight, self._values[rows]).reshape(n, config.width)
        moved: Floats = x + mixed.astype(np.float32) @ self._out
        return moved


KINDS: Final[dict[str, Callable[[str, HybridConfig, Weights, State], Recurrent | Attention]]] = {
    "r": Recurrent,
    "a": Attention,
}


def draw(logits: Floats, *, seeds: Ints, position: Ints, stream: int, temperature: float) -> Ints:
    """``logits [B, n]`` to tokens ``[B]``; the noise is a hash of seed, position, stream and token."""
    tokens = np.arange(logits.shape[1], dtype=np.uint64)
    key = _mix(seeds.astype(np.uint64) ^ _mix(position.astype(np.uint64) * np.uint64(977) + np.uint64(stream + 1)))
    noise = (_mix(key[:, None] ^ _mix(tokens + np.uint64(1))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    found: Ints = np.argmax(logits / temperature - np.log(-np.log(noise + 2.0**-54)), axis=1)
    return found


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
