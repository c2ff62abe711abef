"""One tick on the device: telephone audio in, telephone audio and tokens out. One tensor in, one tensor out.

Nothing in it asks the host or allocates by content, so on CUDA the whole of it can be one graph (``graph.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from agent.model.moshi.checkpoint import Tensors, codebooks_of
from agent.model.moshi.config import NOT_GENERATED, MoshiConfig
from agent.model.moshi.lm import LM
from agent.model.moshi.mimi import Decoder, Encoder
from agent.model.moshi.ops import Ops
from agent.model.moshi.resample import DeviceResampler

PHONE_HZ: Final = 8000
FULL_SCALE: Final = 32768.0
Ints = NDArray[np.int32]
Samples = NDArray[np.int16]


class Tick:
    """The model, whole, and the state of all rows on the device."""

    def __init__(
        self,
        config: MoshiConfig,
        lm: Tensors,
        mimi: Tensors,
        *,
        windows: Sequence[int],
        device: str,
        fp8_kv: bool = False,
        ops: Ops | None = None,
    ) -> None:
        rows, books = len(windows), codebooks_of(config)
        self.config, self.rows = config, rows
        self.samples = config.mimi.frame_samples * PHONE_HZ // config.mimi.rate_hz
        self.lm = LM(
            config.lm,
            lm,
            windows=windows,
            sampling=config.sampling,
            device=device,
            fp8=fp8_kv,
            ops=ops,
        )
        rate, frame = config.mimi.rate_hz, config.mimi.frame_samples
        self.up = DeviceResampler(PHONE_HZ, rate, rows=rows, samples=self.samples, device=device)
        self.down = DeviceResampler(rate, PHONE_HZ, rows=rows, samples=frame, device=device)
        self.encoder = Encoder(config.mimi, mimi, rows=rows, codebooks=books, device=device)
        self.decoder = Decoder(config.mimi, mimi, rows=rows, codebooks=books, device=device)
        self.states = {
            "up": self.up.state,
            "encoder": self.encoder.state,
            "decoder": self.decoder.state,
            "down": self.down.state,
        }
        self._spoken = 1 + config.lm.spoken

    # --- layout of what goes in and comes out, int32 --------------------------------------------------------

    @property
    def width_in(self) -> int:
        """Samples, mask, forced text and codes, text to say."""
        return self.samples + 1 + self._spoken + 1

    @property
    def width_out(self) -> int:
        """Samples, text and codes of that audio, text of this very step."""
        return self.samples + self._spoken + 1

    def pack(self, pcm: Samples, active: NDArray[np.bool_], forced: Ints, said: Ints) -> Ints:
        """``pcm [rows, samples]``, ``forced [rows, 1 + spoken]``, ``said [rows]`` to ``[rows, width_in]``."""
        return np.concatenate((pcm, active[:, None], forced, said[:, None]), axis=1, dtype=np.int32)

    def unpack(self, out: Ints) -> tuple[Samples, Ints, Ints]:
        """``[rows, width_out]`` to audio ``[rows, samples]``, its tokens ``[rows, 1 + spoken]``, new text."""
        return out[:, : self.samples].astype(np.int16), out[:, self.samples : -1], out[:, -1]

    # --- the tick --------------------------------------------------------------------------------------------

    def step(self, packed: torch.Tensor, *, longest: int) -> torch.Tensor:
        """``[rows, width_in]`` to ``[rows, width_out]``, int32."""
        n = self.samples
        active = packed[:, n] != 0
        forced, said = packed[:, n + 1 : n + 1 + self._spoken].long(), packed[:, -1].long()
        phone = packed[:, :n].float() / FULL_SCALE
        codes = self.encoder.step(self.up.step(phone, active), active)
        tokens, text = self.lm.step_on_device(
            codes[:, : self.config.lm.heard], active, forced=forced, said=said, longest=longest
        )
        speaks = tokens[:, 0] != NOT_GENERATED
        audio = self.decoder.step(tokens[:, 1:], speaks)
        back = self.down.step(audio, speaks).masked_fill(~speaks[:, None], 0.0)
        pcm = (back * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1)
        return torch.cat((pcm.int(), tokens.int(), text[:, None].int()), dim=1)

    def reset(self, row: int, *, seed: int) -> None:
        self.lm.reset(row, seed=seed)
        for state in self.states.values():
            state.reset(row)
