"""A hybrid model behind ``DuplexModel``: features in, the caller's words, text and audio out."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.model.hybrid.codec import Voice
from agent.model.hybrid.config import BLANK, IN_HZ, PHONE_HZ, STEP_MS, STEP_SAMPLES, HybridConfig
from agent.model.hybrid.net import KINDS, Ears, Floats, Ints, Rows, State, Weights, draw, norm, sigmoid
from agent.model.parts.rowstate import pack, unpack
from agent.model.protocol import HeardWords, ModelSpec, OnContextFull, Persona, StepInput, StepOutput, neutral_output
from telephony.audio.resample import Resampler

VERSION: Final = b"hybrid-1\n"
TEXT: Final = 0
SILENT_CODE: Final = 0
PAD: Final = 0
MOST_WORDS: Final = 32
"""Of the caller's, told again with each new one; older ones are settled."""


class HybridModel:
    """All rows of one model with random weights. One owner: the worker's thread."""

    def __init__(self, rows: int, config: HybridConfig | None = None, *, seed: int = 0) -> None:
        self.config = config = config or HybridConfig()
        self._state = state = State(rows)
        weights = Weights(seed)
        self._up = Resampler(PHONE_HZ, IN_HZ, rows=1, samples=STEP_SAMPLES).matrix
        self._up_past = state.column("up.past", (len(self._up) - STEP_SAMPLES,))
        self._ears = Ears(config, weights, state)
        self._layers = [KINDS[kind](f"layer.{n}", config, weights, state) for n, kind in enumerate(config.layers)]
        self._voice = Voice(config, weights, state)
        self._text_in = weights.table(config.text_card, config.width)
        self._codes_in = [weights.table(config.card, config.width) for _ in range(config.books)]
        self._text_out = weights.matrix(config.width, config.text_card)
        self._heard_out = weights.matrix(config.width, config.heard_card)
        self._codes_out = [weights.matrix(config.width, config.card) for _ in range(config.books)]
        self._speech_out = weights.matrix(config.width, 1)
        self._position = state.column("position", dtype=np.int64)
        self._text = state.column("text", dtype=np.int64)
        self._codes = state.column("codes", (config.books,), np.int64)
        self._heard = state.column("heard", (MOST_WORDS,), np.int64, -1)
        """The caller's words so far, newest last."""
        self._seeds = state.column("seed", dtype=np.int64)
        self._personas = [Persona() for _ in range(rows)]
        self._forced: list[deque[int]] = [deque() for _ in range(rows)]
        self._silent = np.zeros(rows, np.bool_)
        self.spec = ModelSpec(
            name="hybrid",
            step_ms=STEP_MS,
            algorithmic_delay_ms=2,
            emits_pcm=True,
            emits_words=True,
            emits_scores=True,
            rows=rows,
            context_s=None,  # its recurrent layers remember everything, faintly
            on_context_full=OnContextFull.SLIDE,
            bytes_per_row=state.bytes_per_row,
        )

    # --- life ------------------------------------------------------------------------------------------------

    def warmup(self) -> None:
        """Nothing to do."""

    def self_test(self) -> int:
        return self.spec.rows

    def close(self) -> None:
        """Nothing to free."""

    def admit(self, row: int, persona: Persona) -> None:
        self._personas[row] = persona

    def release(self, row: int) -> None:
        self._forced[row].clear()

    def force(self, row: int, *, text: str | None) -> None:
        """Tokens of ``text`` are its characters; ``None``: silent in the next step."""
        if text is None:
            self._silent[row] = True
            self._forced[row].clear()
        else:
            self._forced[row].extend(1 + ord(letter) % (self.config.text_card - 1) for letter in text)

    # --- a step ----------------------------------------------------------------------------------------------

    def step(self, inputs: StepInput) -> StepOutput:
        rows_all, n = inputs.pcm.shape
        if (rows_all, n) != (self.spec.rows, STEP_SAMPLES):
            raise ModelError(f"step of {[rows_all, n]}, expected {[self.spec.rows, STEP_SAMPLES]}")
        self._begin(np.flatnonzero(inputs.mask & inputs.reset))
        output = neutral_output(rows_all, inputs.mask)
        output.pcm = np.zeros((rows_all, n), np.int16)
        rows = np.flatnonzero(inputs.mask)
        if len(rows):
            self._advance(rows, inputs.pcm, output)
        return output

    def _begin(self, rows: Rows) -> None:
        self._state.reset(rows)
        for row in rows.tolist():
            self._seeds[row] = self._personas[row].seed
            self._forced[row].clear()

    def _advance(self, rows: Rows, pcm: NDArray[np.int16], output: StepOutput) -> None:
        assert output.pcm is not None
        position = self._position[rows]
        encoded = self._encode(pcm[rows], rows)
        x = encoded + self._text_in[self._text[rows]]
        for book, table in enumerate(self._codes_in):
            x = x + table[self._codes[rows, book]]
        for layer in self._layers:
            x = layer.step(x, rows, position)
        x = norm(x)
        text = self._next_text(x, rows, position)
        codes = self._next_codes(x, text, rows, position)
        self._text[rows], self._codes[rows] = text, codes
        sound = self._voice.step(codes, rows)
        sound[self._silent[rows]] = 0.0
        output.pcm[rows] = np.round(32767.0 * sound).astype(np.int16)
        output.p_speech[rows] = sigmoid(x @ self._speech_out)[:, 0]
        output.agent_text = [
            (row, f" {token}") for row, token in zip(rows.tolist(), text.tolist(), strict=True) if token
        ]
        output.words = self._hear(x, rows)
        self._silent[rows] = False
        self._position[rows] += 1

    def _encode(self, pcm: NDArray[np.int16], rows: Rows) -> Floats:
        line = np.concatenate((self._up_past[rows], pcm.astype(np.float32) / 32768.0), axis=1)
        self._up_past[rows] = line[:, STEP_SAMPLES:]
        return self._ears.step(line @ self._up, rows)

    def _next_text(self, x: Floats, rows: Rows, position: Ints) -> Ints:
        config = self.config
        text = draw(
            x @ self._text_out, seeds=self._seeds[rows], position=position, stream=TEXT, temperature=config.temperature
        )
        for i, row in enumerate(rows.tolist()):
            if self._silent[row]:
                text[i] = PAD
            elif self._forced[row] and text[i] != PAD:  # it says when, the caller of ``force`` says what
                text[i] = self._forced[row].popleft()
        return text

    def _next_codes(self, x: Floats, text: Ints, rows: Rows, position: Ints) -> Ints:
        """Codebooks one after the other, each told of those before it."""
        codes = np.zeros((len(rows), self.config.books), np.int64)
        told = x + self._text_in[text]
        for book, head in enumerate(self._codes_out):
            codes[:, book] = draw(
                norm(told) @ head,
                seeds=self._seeds[rows],
                position=position,
                stream=1 + book,
                temperature=self.config.temperature,
            )
            told = told + self._codes_in[book][codes[:, book]]
        codes[self._silent[rows]] = SILENT_CODE
        return codes

    def _hear(self, x: Floats, rows: Rows) -> list[HeardWords]:
        """The caller's words by the likeliest token of each step: blanks and repetitions say nothing new."""
        token = np.argmax(x @ self._heard_out, axis=1)
        told = []
        for row, one in zip(rows.tolist(), token.tolist(), strict=True):
            words = self._heard[row]
            if one == BLANK or one == words[-1]:
                continue
            words[:-1] = words[1:]
            words[-1] = one
            known = tuple(f"h{word}" for word in words.tolist() if word >= 0)
            end = (int(self._position[row]) + 1) * STEP_SAMPLES
            told.append(HeardWords(row=row, words=known, final=False, confidence=0.5, end_samples=end))
        return told

    # --- moving ------------------------------------------------------------------------------------------------

    def snapshot(self, row: int) -> bytes:
        saved = self._state.save(row)
        saved["forced"] = np.array(self._forced[row], np.int64)
        saved["silent"] = np.array(self._silent[row])
        return pack(VERSION, saved)

    def restore(self, row: int, blob: bytes) -> None:
        saved = unpack(VERSION, blob)
        if "forced" not in saved or "silent" not in saved:
            raise ModelError("snapshot: column forced or silent is missing")
        self._state.load(row, saved)
        self._forced[row] = deque(saved["forced"].tolist())
        self._silent[row] = bool(saved["silent"])
