"""One step of tokens for all rows: the caller's codes of a frame in, our text and codes of a frame out.

Rows are fixed: the batch always has all of them, so a row's result does not depend on who else is there. A row has
a position of its own; streams are behind each other by ``delays`` (text and each speaker's first codebook lead),
which a short ring of tokens per row holds. Position 0 and, per stream, its first ``delay`` positions are start tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from agent.model.moshi.checkpoint import Tensors
from agent.model.moshi.config import NOT_GENERATED, TEXT_END_OF_PADDING, LMConfig, Sampling
from agent.model.moshi.depth import Depth
from agent.model.moshi.kv import KvRing
from agent.model.moshi.ops import Ops, TorchOps
from agent.model.moshi.sampling import sample
from agent.model.moshi.temporal import Temporal

TEXT_STREAM: Final = 0
Bools = NDArray[np.bool_]


@dataclass(slots=True)
class StepLogits:
    """What a test compares."""

    text: torch.Tensor
    """``[rows, text_card]``"""
    audio: list[torch.Tensor]
    """Per depth step ``[rows, card]``."""


@dataclass(frozen=True, slots=True)
class LMRow:
    """All that a row is, apart from its place: what a prompt leaves behind, or a snapshot."""

    position: int
    tokens: torch.Tensor
    """``[1 + streams, ring]``"""
    memory: dict[str, torch.Tensor]
    """See ``KvRing.take_row``."""


class LM:
    """The two transformers and the state of all rows."""

    def __init__(
        self,
        config: LMConfig,
        tensors: Tensors,
        *,
        windows: Sequence[int],
        sampling: Sampling,
        device: str,
        fp8: bool = False,
        ops: Ops | None = None,
    ) -> None:
        if too_long := [window for window in windows if window > config.context]:
            raise ValueError(f"a window of {max(too_long)} frames; the model was made for {config.context}")
        self.config, self.sampling = config, sampling
        self._ops = ops = ops or TorchOps()
        self.temporal = Temporal(config, tensors, device, ops)
        self.depth = Depth(config, tensors, ops)
        self.rows = rows = len(windows)
        self.ring = KvRing(
            layers=config.layers,
            heads=config.heads,
            head_dim=config.head_dim,
            windows=windows,
            dtype=self.temporal.dtype,
            device=device,
            fp8=fp8,
        )
        self._device = device
        self._ring_of_tokens = config.max_delay + 2
        self.tokens = torch.full(
            (rows, 1 + config.streams, self._ring_of_tokens), NOT_GENERATED, dtype=torch.int64, device=device
        )
        """``[rows, 1 + streams, ring]``: text, ours, the caller's."""
        self.positions = torch.zeros(rows, dtype=torch.int64, device=device)
        self.seeds = torch.zeros(rows, dtype=torch.int64, device=device)
        self.host_positions = np.zeros(rows, np.int64)
        """The same as ``positions``, known without asking the device."""
        self._delays = torch.tensor(config.delays, device=device)
        self._start = torch.full((1 + config.streams,), config.card, dtype=torch.int64, device=device)
        self._start[TEXT_STREAM] = config.text_card
        self._all = torch.arange(1 + config.streams, device=device)

    # --- a step --------------------------------------------------------------------------------------------

    def step(
        self,
        heard: torch.Tensor,
        active: Bools,
        *,
        forced: torch.Tensor | None = None,
        said: torch.Tensor | None = None,
        keep: list[StepLogits] | None = None,
    ) -> torch.Tensor:
        """``heard [rows, heard codes]`` of ``active [rows]`` to tokens ``[rows, 1 + spoken]``, -2 where there are
        none yet.

        ``forced [rows, 1 + spoken]``: what comes out of this step whatever is drawn (-2: free). ``said [rows]``: the
        text token that a row says next, when the model chooses to say something (-2: its own).
        """
        device = self._device
        mask = torch.from_numpy(active).to(device)
        free = torch.full((self.rows, 1 + self.depth.steps), NOT_GENERATED, dtype=torch.int64, device=device)
        longest = int(np.minimum(self.host_positions + 1, self.ring.windows)[active].max(initial=1))
        out, _ = self.step_on_device(
            heard,
            mask,
            forced=free if forced is None else forced,
            said=free[:, 0] if said is None else said,
            longest=longest,
            keep=keep,
        )
        self.host_positions[active] += 1
        return out

    def step_on_device(
        self,
        heard: torch.Tensor,
        active: torch.Tensor,
        *,
        forced: torch.Tensor,
        said: torch.Tensor,
        longest: int,
        keep: list[StepLogits] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``step`` without a look at the host: shapes are fixed and nothing waits, so that a graph can hold it.

        Gives the tokens of the frame that is whole now, and the text ``[rows]`` of the one begun (-2 where masked).
        """
        config, positions = self.config, self.positions
        spoken = 1 + self.depth.steps
        self._put(slice(spoken, None), positions[:, None] + self._delays[spoken:], heard, active)
        hidden = self.temporal.step(
            self._now(active),
            ring=self.ring,
            positions=positions,
            active=active,
            longest=longest,
        )
        text_logits = functional.linear(hidden, self.temporal.text_head)
        drawn = sample(
            text_logits,
            self.seeds,
            positions,
            TEXT_STREAM,
            temperature=self.sampling.text_temperature,
            top_k=self.sampling.text_top_k,
            draw=self._ops.draw,
        )
        text = _force(self._say(drawn, said), forced[:, TEXT_STREAM])
        audio_logits: list[torch.Tensor] | None = None if keep is None else []
        codes = self.depth.run(
            hidden,
            text,
            forced[:, 1:],
            seeds=self.seeds,
            positions=positions,
            sampling=self.sampling,
            keep_logits=audio_logits,
        )
        if keep is not None:
            keep.append(StepLogits(text_logits.float(), audio_logits or []))
        positions += active
        self._put(slice(0, spoken), positions[:, None].expand(-1, spoken), torch.cat((text[:, None], codes), 1), active)
        at = (positions[:, None] - config.max_delay + self._delays[:spoken]) % self._ring_of_tokens
        out = self.tokens[:, :spoken].gather(2, at[..., None])[..., 0]
        silent = (positions <= config.max_delay) | ~active
        return out.masked_fill(silent[:, None], NOT_GENERATED), text.masked_fill(~active, NOT_GENERATED)

    def _say(self, drawn: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
        """The model decides when a word comes, ``said`` which one."""
        waits = (drawn == self.config.text_padding) | (drawn == TEXT_END_OF_PADDING) | (said == NOT_GENERATED)
        return torch.where(waits, drawn, said)

    def _put(self, streams: slice, positions: torch.Tensor, tokens: torch.Tensor, active: torch.Tensor) -> None:
        """``tokens [rows, n]`` into the ring at ``positions [rows, n]``, for active rows."""
        part = self.tokens[:, streams]
        at = (positions % self._ring_of_tokens)[..., None]
        kept = part.gather(2, at)
        part.scatter_(2, at, torch.where(active[:, None, None], tokens[..., None], kept))

    def _now(self, active: torch.Tensor) -> torch.Tensor:
        """``[rows, 1 + streams]``: input at each row's position; start tokens where a stream has not begun."""
        at = (self.positions % self._ring_of_tokens)[:, None, None].expand(-1, self.tokens.shape[1], 1)
        begun = (self.positions[:, None] > self._delays) & active[:, None]
        return torch.where(begun, self.tokens.gather(2, at)[..., 0], self._start)

    # --- rows ----------------------------------------------------------------------------------------------

    def reset(self, row: int, *, seed: int = 0) -> None:
        """``row`` begins anew and remembers nothing."""
        self.tokens[row] = NOT_GENERATED
        self.positions[row] = 0
        self.host_positions[row] = 0
        self.seeds[row] = seed

    def pretend(self, row: int, position: int) -> None:
        """``row`` is at ``position``, with tokens 0 behind it and whatever its ring holds: to measure old calls."""
        self.tokens[row] = 0
        self.positions[row] = position
        self.host_positions[row] = position

    def take_row(self, row: int) -> LMRow:
        """A copy of ``row`` as it is now."""
        position = int(self.host_positions[row])
        return LMRow(position, self.tokens[row].clone(), self.ring.take_row(row, position))

    def put_row(self, row: int, kept: LMRow) -> None:
        """Inverse of ``take_row``, into any row. The row's seed stays."""
        self.tokens[row] = kept.tokens.to(self._device)
        self.positions[row] = kept.position
        self.host_positions[row] = kept.position
        self.ring.put_row(row, kept.position, kept.memory)


def _force(drawn: torch.Tensor, forced: torch.Tensor) -> torch.Tensor:
    return torch.where(forced == NOT_GENERATED, drawn, forced)
