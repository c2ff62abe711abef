"""A Moshi-family model behind ``DuplexModel``: it hears and speaks in steps of 80 ms, its own brain and voice."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from agent.errors import ModelError
from agent.model.moshi.checkpoint import Tensors, codebooks_of, load_lm, load_mimi, open_checkpoint
from agent.model.moshi.config import NOT_GENERATED, MoshiConfig
from agent.model.moshi.graph import Runner, make_runner
from agent.model.moshi.mimi import Encoder
from agent.model.moshi.ops import Ops, TorchOps
from agent.model.moshi.orders import RowOrders
from agent.model.moshi.planner import (
    PROMPT_FRAMES,
    PROMPTS_KEPT,
    RESERVED_BYTES,
    RESERVED_CPU_BYTES,
    Costs,
    RowClass,
    check_plan,
    costs,
    rows_that_fit,
)
from agent.model.moshi.prompt import PromptCodes, StartState, take_in, write_prompt
from agent.model.moshi.snapshot import pack_row, unpack_row
from agent.model.moshi.text import Tokenizer, role_text
from agent.model.moshi.tick import PHONE_HZ, Ints, Tick
from agent.model.moshi.voices import load_voice
from agent.model.protocol import ModelSpec, OnContextFull, Persona, StepInput, StepOutput, neutral_output

SILENT_STEPS: Final = 1
"""``force(row, text=None)`` keeps the model silent for the next step; whoever wants more says it again."""
SELF_TEST_STEPS: Final = 3
SELF_TEST_NOISE: Final = 1000
BUILTIN_BINS: Final = 2048
TONE_HZ: Final = 440.0
SETTLED_FRAMES: Final = 4
MEMORY: Final = Path("/proc/meminfo")


class MoshiModel:
    """All rows of one device. One owner: the worker's thread."""

    def __init__(
        self,
        name: str,
        tick: Tick,
        tokenizer: Tokenizer | None,
        *,
        folder: Path | None,
        codes: PromptCodes,
        runner: Runner,
        row_bytes: int,
    ) -> None:
        self._tick, self._runner, self._tokenizer = tick, runner, tokenizer
        self._folder, self._codes = folder, codes
        self._config = config = tick.config
        self._orders = [RowOrders() for _ in range(tick.rows)]
        self._starts: OrderedDict[tuple[str, str], StartState | None] = OrderedDict()
        self._under_way = np.zeros(tick.rows, np.bool_)
        self._latest = np.full((tick.rows, 1 + config.lm.spoken), NOT_GENERATED, np.int32)
        """Tokens of the last step."""
        self._free = np.full((tick.rows, 1 + config.lm.spoken), NOT_GENERATED, np.int32)
        self._silence = np.array([config.lm.text_padding, *codes.silence[: config.lm.spoken]], np.int32)
        self.spec = ModelSpec(
            name=name,
            step_ms=config.step_ms,
            rate_in_hz=PHONE_HZ,
            rate_out_hz=PHONE_HZ,
            emits_pcm=True,
            rows=tick.rows,
            context_s=int(tick.lm.ring.windows.min()) * config.step_ms / 1000,
            on_context_full=OnContextFull.REPRIME if config.kind == "personaplex" else OnContextFull.SLIDE,
            bytes_per_row=row_bytes,
        )

    # --- life ------------------------------------------------------------------------------------------------

    def warmup(self) -> None:
        """A few steps on nothing: libraries choose their kernels, a graph is captured."""
        inputs = _noise(self._tick, 0)
        for _ in range(SELF_TEST_STEPS):
            self.step(inputs)
        if self._config.kind == "personaplex":  # the first prompt would pay for libraries (1.3 s on an H100)
            lm = self._tick.lm
            with torch.inference_mode():
                lm.temporal.prefill(torch.zeros(PROMPT_FRAMES, lm.config.dim, device=lm.positions.device))
        self._runner.capture()
        for row in range(self._tick.rows):
            self._tick.reset(row, seed=0)

    def self_test(self) -> int:
        """Faint noise through every row: what comes out must be tokens."""
        config = self._config.lm
        inputs = _noise(self._tick, SELF_TEST_NOISE)
        inputs.reset[:] = False
        for _ in range(SELF_TEST_STEPS):
            self.step(inputs)
        for row in range(self._tick.rows):
            self._tick.reset(row, seed=0)
        tokens = self._latest
        text, codes = tokens[:, 0], tokens[:, 1:]
        if ((text < 0) | (text > config.text_card)).any() or ((codes < 0) | (codes >= config.card)).any():
            raise ModelError(f"model {self.spec.name}: the self-test gave no tokens: the weights are damaged")
        return self._tick.rows

    def close(self) -> None:
        self._starts.clear()

    # --- to measure it -----------------------------------------------------------------------------------------

    def age(self, row: int) -> None:
        """``row`` is as old as its window: a step that reads no more than this will ever be read."""
        self.pretend(row, frames=int(self._tick.lm.ring.windows[row]))

    def pretend(self, row: int, *, frames: int) -> None:
        """``row`` is that old: it has talked for ``frames`` frames, whatever its memory holds."""
        self._tick.lm.pretend(row, frames)

    def memory(self) -> list[torch.Tensor]:
        """Keys and values of all rows."""
        return [self._tick.lm.ring.keys, self._tick.lm.ring.values]

    # --- rows ------------------------------------------------------------------------------------------------

    def admit(self, row: int, persona: Persona) -> None:
        """Make the persona's prompt ready; it is copied into the row by the next step's reset."""
        with torch.inference_mode():
            self._start(persona)
        self._orders[row] = RowOrders(persona=persona)

    def release(self, row: int) -> None:
        self._orders[row] = RowOrders()

    def force(self, row: int, *, text: str | None) -> None:
        """Say ``text`` from the model's next word on (it chooses when, not what); ``None``: be silent in the
        next step.
        """
        orders = self._orders[row]
        if text is None:
            orders.silent = SILENT_STEPS
            orders.words.clear()
        elif self._tokenizer is None:
            raise ModelError(f"model {self.spec.name}: no tokenizer, so no text can be said")
        else:
            orders.words.extend(self._tokenizer.encode(text))

    def _start(self, persona: Persona) -> StartState | None:
        """The state after the persona's prompt: computed once, then kept."""
        key = (persona.text, persona.voice)
        if key not in self._starts:
            self._starts[key] = self._take_in(persona)
            while len(self._starts) > PROMPTS_KEPT:
                self._starts.popitem(last=False)
        self._starts.move_to_end(key)
        return self._starts[key]

    def _take_in(self, persona: Persona) -> StartState | None:
        if self._config.kind != "personaplex":
            return None  # moshiko and moshika know no roles
        role = role_text(persona.text)
        if role and self._tokenizer is None:
            raise ModelError(f"model {self.spec.name}: no tokenizer, so no role can be told")
        tokens = self._tokenizer.encode(role) if role and self._tokenizer is not None else ()
        lm = self._config.lm
        if persona.voice and self._folder is None:
            raise ModelError(f"model {self.spec.name}: no folder with voices")
        voice = load_voice(self._folder, persona.voice, lm) if persona.voice and self._folder is not None else None
        prompt = write_prompt(lm, self._codes, role=tokens, voice=voice)
        return None if prompt is None else take_in(self._tick.lm, prompt)

    def _begin_row(self, row: int) -> None:
        orders = self._orders[row]
        orders.forced.clear()
        orders.words.clear()
        orders.silent = 0
        self._tick.reset(row, seed=orders.persona.seed)
        start = self._start(orders.persona)
        if start is not None:
            self._tick.lm.put_row(row, start.row)
            orders.forced.extend(start.forced)

    # --- a step ----------------------------------------------------------------------------------------------

    def step(self, inputs: StepInput) -> StepOutput:
        self.begin(inputs)
        return self.finish()

    def begin(self, inputs: StepInput) -> None:
        """The first half of ``step``: on a card it is under way when this returns, and the host is free."""
        if inputs.pcm.shape != (self._tick.rows, self._tick.samples):
            raise ModelError(f"step of {list(inputs.pcm.shape)}, expected {[self._tick.rows, self._tick.samples]}")
        with torch.inference_mode():
            for row in np.flatnonzero(inputs.mask & inputs.reset).tolist():
                self._begin_row(row)
        forced, said = self._give_orders(inputs)
        lm, mask = self._tick.lm, inputs.mask
        longest = int(np.minimum(lm.host_positions + 1, lm.ring.windows)[mask].max(initial=1))
        self._runner.start(self._tick.pack(inputs.pcm, mask, forced, said), longest=longest)
        lm.host_positions[mask] += 1
        self._under_way = mask.copy()

    def is_done(self) -> bool:
        """Whether ``finish`` would give its answer at once."""
        return self._runner.is_done()

    def finish(self) -> StepOutput:
        """The second half: waits for the answer to ``begin``."""
        pcm, tokens, begun = self._tick.unpack(self._runner.finish())
        self._latest = tokens
        output = neutral_output(self._tick.rows, self._under_way)
        output.pcm = pcm
        self._note_words(begun)
        output.agent_text = self._read(tokens[:, 0])
        return output

    def _give_orders(self, inputs: StepInput) -> tuple[Ints, Ints]:
        """What each row must give in this step, and the word it would say next."""
        forced = self._free.copy()
        said = self._free[:, 0].copy()
        for row in np.flatnonzero(inputs.mask).tolist():
            orders = self._orders[row]
            if orders.forced:
                forced[row] = orders.forced.popleft()
            elif orders.silent:
                orders.silent -= 1
                forced[row] = self._silence
            elif orders.words:
                said[row] = orders.words[0]
        return forced, said

    def _note_words(self, begun: Ints) -> None:
        """A word that was to be said is under way (``begun [rows]``: text of this very step): on to the next."""
        for row, orders in enumerate(self._orders):
            if orders.words and int(begun[row]) == orders.words[0]:
                orders.words.popleft()

    def _read(self, text: Ints) -> list[tuple[int, str]]:
        """``text [rows]`` of the audio that comes out now, as pieces."""
        if self._tokenizer is None:
            return []
        pieces = [(row, self._tokenizer.piece(token)) for row, token in enumerate(text.tolist())]
        return [(row, piece) for row, piece in pieces if piece]

    # --- moving ------------------------------------------------------------------------------------------------

    def snapshot(self, row: int) -> bytes:
        return pack_row(self._tick, row, self._orders[row])

    def restore(self, row: int, blob: bytes) -> None:
        self._orders[row] = unpack_row(self._tick, row, blob)


def _noise(tick: Tick, level: int) -> StepInput:
    rng = np.random.default_rng(1)
    shape, every = (tick.rows, tick.samples), np.ones(tick.rows, np.bool_)
    pcm = rng.integers(-level, level + 1, shape).astype(np.int16)
    return StepInput(pcm=pcm, own=np.zeros_like(pcm), mask=every, reset=every.copy(), lost=~every, speaking=~every)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a model is loaded."""

    device: str = "auto"
    """``cpu``, ``cuda``, ``cuda:1``; ``auto``: CUDA where it is there."""
    dtype: str = "auto"
    """``bfloat16``, ``float32``; ``auto``: bfloat16 on CUDA, float32 on a CPU."""
    window: int = 0
    """Frames that a row remembers; 0: as many as the model was made for."""
    short_rows: int = 0
    """So many of the rows, the last ones, remember …"""
    short_window: int = 0
    """… that many frames."""
    fp8_kv: bool = False
    graphs: bool = True


def load_model(folder: Path, rows: int, options: Options | None = None) -> MoshiModel:
    """A checkpoint's folder as a model of ``rows`` rows. Raises ``ModelError`` that names what is wrong."""
    options = options or Options()
    checkpoint = open_checkpoint(folder)
    config = checkpoint.config
    device, dtype = pick_device(options)
    tokenizer = Tokenizer(checkpoint.text_model, text_card=config.lm.text_card)
    windows = plan_rows(config, rows, options)
    lm = load_lm(checkpoint, dtype=dtype, device=device)
    mimi = load_mimi(checkpoint, device=device)
    return build_model(
        config, lm, mimi, windows=windows, options=options, tokenizer=tokenizer, folder=folder, name=folder.name
    )


def build_model(
    config: MoshiConfig,
    lm: Tensors,
    mimi: Tensors,
    *,
    windows: tuple[int, ...],
    options: Options,
    tokenizer: Tokenizer | None = None,
    folder: Path | None = None,
    name: str = "moshi",
) -> MoshiModel:
    """The same from tensors that are there already."""
    device, _ = pick_device(options)
    cost = _costs(config, options)
    tick = Tick(config, lm, mimi, windows=windows, device=device, fp8_kv=options.fp8_kv, ops=pick_ops(device))
    return MoshiModel(
        name,
        tick,
        tokenizer,
        folder=folder,
        codes=prompt_codes(config, mimi, device),
        runner=make_runner(tick, device, graphs=options.graphs),
        row_bytes=cost.row + max(windows) * cost.frame,
    )


def pick_device(options: Options) -> tuple[str, torch.dtype]:
    """Raises ``ModelError`` for a device or type that is not there."""
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"device {device}: PyTorch sees no CUDA device")
    names = {"bfloat16": torch.bfloat16, "float32": torch.float32}
    name = ("bfloat16" if device.startswith("cuda") else "float32") if options.dtype == "auto" else options.dtype
    if name not in names:
        raise ModelError(f"dtype {name!r} is unknown; known: auto, {', '.join(names)}")
    return device, names[name]


def plan_rows(config: MoshiConfig, rows: int, options: Options, *, loaded_bytes: int = 0) -> tuple[int, ...]:
    """The window of each row, if the device's free memory holds them.

    ``loaded_bytes``: weights that are there already.
    """
    classes = [RowClass(rows=rows - options.short_rows, window=options.window or config.lm.context)]
    if options.short_rows:
        classes.append(RowClass(rows=options.short_rows, window=options.short_window))
    free = free_bytes(pick_device(options)[0]) + loaded_bytes
    return check_plan(config, _costs(config, options), classes, free_bytes=free)


def fitting_rows(config: MoshiConfig, options: Options) -> int:
    """Rows that the device's free memory holds, those of the shorter window first."""
    free, cost = free_bytes(pick_device(options)[0]), _costs(config, options)
    free -= options.short_rows * (cost.row + options.short_window * cost.frame)
    long = rows_that_fit(cost, free_bytes=free, window=options.window or config.lm.context)
    return long + options.short_rows


def free_bytes(device: str) -> int:
    """Memory that is free on the device, or in the machine for a CPU."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    for line in MEMORY.read_text().splitlines() if MEMORY.is_file() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _costs(config: MoshiConfig, options: Options) -> Costs:
    device, dtype = pick_device(options)
    reserved = RESERVED_BYTES if device.startswith("cuda") else RESERVED_CPU_BYTES
    return costs(config, item_bytes=dtype.itemsize, fp8_kv=options.fp8_kv, reserved=reserved)


def pick_ops(device: str) -> Ops:
    """Kernels where they can run, else PyTorch's way."""
    if device.startswith("cuda"):
        from agent.model.moshi.kernels import TritonOps  # Triton: only where there is a GPU

        return TritonOps()
    return TorchOps()


def prompt_codes(config: MoshiConfig, mimi: Tensors, device: str) -> PromptCodes:
    """What silence and the prompt's tone are in codes: known for the published codec, asked of any other."""
    if config.mimi.bins >= BUILTIN_BINS:
        return PromptCodes()
    books, rate, frame = codebooks_of(config), config.mimi.rate_hz, config.mimi.frame_samples
    encoder = Encoder(config.mimi, mimi, rows=2, codebooks=books, device=device)
    at = torch.arange(frame, device=device) / rate
    sounds = torch.stack((torch.zeros_like(at), 0.5 * torch.sin(2 * torch.pi * TONE_HZ * at)))
    every = torch.ones(2, dtype=torch.bool, device=device)
    with torch.inference_mode():
        for _ in range(SETTLED_FRAMES):
            codes = encoder.step(sounds, every)
    silence, tone = codes.tolist()
    return PromptCodes(tuple(silence), tuple(tone))
