"""The process of a Pipecat recogniser: a pipeline per row's call, utterances in, hypotheses out."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import numpy as np
from pipecat.frames.frames import (
    DataFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.services.stt_service import SegmentedSTTService

from agent.events.names import LogEvent
from agent.logging import Log
from agent.model.parts.recogniser_wire import MOST_BYTES, Kind, Message, unpack, with_json
from agent.pipecat.build import PartRefused, make_service
from agent.pipecat.heard import CONFIDENCE, FINAL_S, Listening, Utterance
from agent.pipecat.pipeline import CallPipeline, PartFailed
from agent.pipecat.spec import PartSpec
from agent.tasks import Tasks
from agent.voice.shape import RATE_HZ
from telephony.audio.resample import Resampler

BLOCK: Final = RATE_HZ // 100
TAIL_S: Final = 0.4
"""Silence behind an utterance for services that end their segments by it."""
MOST_WAITING: Final = 600
"""Frames for a pipeline that is still starting, about half a minute; then the oldest go."""
AFTER_FAILURE_S: Final = 3.0
"""A service that has failed in a call is asked again after that."""
LOG_EVERY_S: Final = 10.0


class _Upsampler:
    """8 kHz of one row to the service's rate; what is no whole block waits for the next piece."""

    def __init__(self, rate_hz: int) -> None:
        self._resampler = Resampler(RATE_HZ, rate_hz, rows=1, samples=BLOCK) if rate_hz != RATE_HZ else None
        self._held = np.zeros(0, np.int16)

    def push(self, pcm: np.ndarray[Any, np.dtype[np.int16]]) -> bytes:
        if self._resampler is None:
            return pcm.tobytes()
        line = np.concatenate((self._held, pcm))
        whole = line.size // BLOCK * BLOCK
        self._held = line[whole:]
        blocks = line[:whole].reshape(-1, BLOCK).astype(np.float32)
        done = [self._resampler.process(block[None, :])[0] for block in blocks]
        if not done:
            return b""
        return np.clip(np.round(np.concatenate(done)), -32768, 32767).astype("<i2").tobytes()


class _Row:
    """One call's ears."""

    def __init__(self, host: RecogniserHost, row: int) -> None:
        self._host = host
        self._row = row
        self._waiting: deque[Frame] = deque(maxlen=MOST_WAITING)
        self._wake = asyncio.Event()
        self._upsampler = _Upsampler(host.spec.rate_hz)
        self._pipeline: CallPipeline | None = None
        self.listening = Listening(segmented=False)
        self._feeder: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failed_at = float("-inf")

    # --- what the ears say ---

    def start(self, number: int) -> None:
        rests = self._host.now() - self._failed_at < AFTER_FAILURE_S
        if rests or (self._feeder is None and not self._open()):
            self._host.found(self._row, Utterance(number), final=True)
            return
        self.listening.start(number)
        self._push(VADUserStartedSpeakingFrame())

    def feed(self, number: int, payload: bytes) -> None:
        utterance = self.listening.current
        if utterance is None or utterance.number != number or utterance.stopped_at is not None:
            return
        utterance.samples += len(payload) // 2
        self._push_audio(np.frombuffer(payload, np.int16))

    def stop(self, number: int) -> None:
        utterance = self.listening.current
        if utterance is None or utterance.number != number:
            return
        self.listening.stop(self._host.now())
        if not self._is_segmented:
            self._push_audio(np.zeros(int(TAIL_S * RATE_HZ), np.int16))
        self._push(VADUserStoppedSpeakingFrame())
        self._tell()

    def cancel(self, number: int) -> None:
        """An utterance whose audio lies in the service half: only a new pipeline forgets it."""
        utterance = self.listening.current
        if utterance is not None and utterance.number == number:
            self.close()

    def close(self) -> None:
        self.listening.give_up()
        if self._timer is not None:
            self._timer.cancel()
        if self._feeder is not None:
            self._feeder.cancel()
            self._feeder = None
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            self._host.tasks.start(pipeline.close())
        self._waiting.clear()

    # --- pipeline ---

    @property
    def _is_segmented(self) -> bool:
        return self._pipeline is not None and isinstance(self._pipeline.service, SegmentedSTTService)

    def _open(self) -> bool:
        try:
            pipeline = CallPipeline(self._host.spec, self._host.tasks, told=self._arrived, failed=self._failed)
        except PartRefused as refused:
            self._failed(str(refused))
            return False
        self._pipeline = pipeline
        if self._is_segmented:
            _mark_segments(pipeline.service)
        self.listening = Listening(segmented=self._is_segmented)
        self._feeder = self._host.tasks.start(self._feed(pipeline))
        return True

    def _push(self, frame: Frame) -> None:
        self._waiting.append(frame)
        self._wake.set()

    def _push_audio(self, pcm: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        audio = self._upsampler.push(pcm)
        if audio:
            self._push(InputAudioRawFrame(audio=audio, sample_rate=self._host.spec.rate_hz, num_channels=1))

    async def _feed(self, pipeline: CallPipeline) -> None:
        """Frames into the pipeline, in order, once it has started."""
        try:
            await pipeline.started()
            while True:
                while self._waiting:
                    await pipeline.push(self._waiting.popleft())
                self._wake.clear()
                await self._wake.wait()
        except PartFailed as failed:
            self._failed(str(failed))

    # --- what the service says ---

    def _arrived(self, frame: Frame) -> None:
        if isinstance(frame, TranscriptionFrame):
            done = bool(frame.finalized)
            self.listening.text(frame.text, final=True, done=done, now=self._host.now())
        elif isinstance(frame, InterimTranscriptionFrame):
            self.listening.text(frame.text, final=False, done=False, now=self._host.now())
        elif isinstance(frame, _SegmentDone):
            self.listening.segment_done()
        else:
            return
        self._tell()

    def _failed(self, reason: str) -> None:
        self._failed_at = self._host.now()
        self._host.failed(reason)
        utterance = self.listening.give_up()
        if utterance is not None:
            self._host.found(self._row, utterance, final=True)
        self.close()

    def _tell(self) -> None:
        now = self._host.now()
        while (news := self.listening.news(now)) is not None:
            utterance, final = news
            self._host.found(self._row, utterance, final=final)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.listening.is_stuck(now):  # its request goes with the pipeline; the next utterance gets another one
            self._host.failed(f"no transcript within {FINAL_S:g} s")
            if (open_one := self.listening.give_up()) is not None:
                self._host.found(self._row, open_one, final=True)
            self.close()
            return
        due = self.listening.due_at()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(max(due, now + 0.001), self._tell)


class _SegmentDone(DataFrame):  # type: ignore[misc]  # Pipecat is not type-checked here
    """Follows the transcript of a segment, and stands alone where a segment had no words."""


def _mark_segments(service: Any) -> None:
    """Let the end of each transcription be told: one without words is told by no frame of Pipecat's."""
    transcribe = service.run_stt

    async def run_stt(audio: bytes) -> AsyncGenerator[Frame | None, None]:
        failed: Exception | None = None
        try:
            async for frame in transcribe(audio):
                yield frame
        except Exception as error:  # of any vendor: told after the mark, as it would have been
            failed = error
        yield _SegmentDone()
        if failed is not None:
            raise failed

    service.run_stt = run_stt


class RecogniserHost:
    """All rows of one process."""

    def __init__(self, spec: PartSpec, tasks: Tasks, send: Callable[[bytes], None], log: Log) -> None:
        self.spec = spec
        self.tasks = tasks
        self._send = send
        self._log = log
        self._rows: dict[int, _Row] = {}
        self._logged_at = float("-inf")

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def handle(self, message: Message) -> None:
        row = self._rows.get(message.row)
        if message.kind is Kind.START:
            row = self._rows.setdefault(message.row, _Row(self, message.row))
            row.start(message.utterance)
        elif row is None:
            return
        elif message.kind is Kind.FEED:
            row.feed(message.utterance, message.payload)
        elif message.kind is Kind.STOP:
            row.stop(message.utterance)
        elif message.kind is Kind.CANCEL:
            row.cancel(message.utterance)
        elif message.kind is Kind.RELEASE:
            row.close()
            del self._rows[message.row]

    def failed(self, reason: str) -> None:
        now = self.now()
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            self._log.warning(LogEvent.PART_FAILED, part="recogniser", why=reason)

    def found(self, row: int, utterance: Utterance, *, final: bool) -> None:
        words = utterance.words
        data = {
            "words": list(words),
            "final": final,
            "confidence": CONFIDENCE if words else 0.0,
            "samples": utterance.samples,
        }
        self._send(with_json(Kind.FOUND, row, utterance.number, data).pack())


async def serve_recogniser(spec: PartSpec, link: socket.socket, log: Log) -> None:
    """Serve until the worker goes."""
    link.setblocking(False)
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    try:
        make_service(spec)
    except PartRefused as refused:
        log.error(LogEvent.PART_FAILED, part="recogniser", why=str(refused))
        return

    def send(data: bytes) -> None:
        try:
            link.send(data)
        except BlockingIOError:
            log.warning(LogEvent.PART_FAILED, part="recogniser", why="the worker does not read")
        except OSError:
            over.set()

    async with Tasks() as tasks:
        host = RecogniserHost(spec, tasks, send, log)

        def readable() -> None:
            while True:
                try:
                    packet = link.recv(MOST_BYTES)
                except BlockingIOError:
                    return
                except OSError:
                    packet = b""
                if not packet:
                    loop.remove_reader(link)
                    over.set()
                    return
                host.handle(unpack(packet))

        loop.add_reader(link, readable)
        await over.wait()
