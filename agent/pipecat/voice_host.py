"""The process of a Pipecat voice: a pipeline per call, clauses in, telephone audio and word times out."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from pipecat.frames.frames import Frame as PipecatFrame
from pipecat.frames.frames import TTSAudioRawFrame, TTSSpeakFrame, TTSStoppedFrame, TTSTextFrame

from agent.pipecat.audio import Intake, Trimmer
from agent.pipecat.build import PartRefused, make_service
from agent.pipecat.pace import Pace, measured, stamped
from agent.pipecat.pipeline import CallPipeline, PartFailed
from agent.pipecat.spec import RATES_HZ, PartSpec
from agent.pipecat.voice_wire import SpeakJob, unpack_speak
from agent.tasks import Tasks
from agent.voice.shape import RATE_HZ, Pcm
from agent.voice.wire import Frame, FrameReader, Kind, pack, pack_audio, pack_times

FIRST_AUDIO_S: Final = 4.0
"""A service that gives no sound by then has failed."""
STALL_S: Final = 2.0
ENOUGH: Final = 0.7
"""Of the expected length: a service that then falls silent without a word is taken to be done."""
MOST_TIMES_EXPECTED, MOST_SPARE = 4, 4 * RATE_HZ
"""A clause that is longer than that does not end."""
MOST_ITEMS: Final = 4096
PIECE: Final = 1280
"""Samples of a message: 160 ms."""


@dataclass(slots=True)
class _Call:
    """One call's pipeline and who speaks on it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    pipeline: CallPipeline | None = None
    items: asyncio.Queue[PipecatFrame | str] | None = None
    """What comes for the clause being spoken: frames, or why it failed."""

    def put(self, item: PipecatFrame | str) -> None:
        if self.items is not None and not self.items.full():
            self.items.put_nowait(item)


class VoiceHost:
    """Serves one owner."""

    def __init__(self, spec: PartSpec, writer: asyncio.StreamWriter, tasks: Tasks) -> None:
        self._spec = spec
        self._writer = writer
        self._tasks = tasks
        self._pace = Pace()
        self._calls: dict[str, _Call] = {}
        self._speaking: dict[int, asyncio.Task[None]] = {}

    def handle(self, frame: Frame) -> None:
        """One message of the owner."""
        if frame.kind is Kind.SPEAK:
            task = self._tasks.start(self._speak(frame.request, unpack_speak(frame.payload)))
            self._speaking[frame.request] = task
            task.add_done_callback(lambda _: self._speaking.pop(frame.request, None))
        elif frame.kind is Kind.CANCEL and (running := self._speaking.get(frame.request)) is not None:
            running.cancel()
        elif frame.kind is Kind.OPEN:
            self._tasks.start(self._warm(self._call(frame.payload.decode())))
        elif frame.kind is Kind.CLOSE and (call := self._calls.pop(frame.payload.decode(), None)) is not None:
            self._tasks.start(self._close(call))

    def _call(self, name: str) -> _Call:
        return self._calls.setdefault(name, _Call())

    async def _warm(self, call: _Call) -> None:
        async with call.lock:
            try:
                await self._pipeline(call)
            except (PartFailed, PartRefused):
                await self._drop_pipeline(call)  # the first clause tries again, and tells

    async def _close(self, call: _Call) -> None:
        async with call.lock:
            await self._drop_pipeline(call)

    async def _pipeline(self, call: _Call) -> CallPipeline:
        """The call's pipeline, started. Raises ``PartFailed`` or ``PartRefused``."""
        if call.pipeline is None or call.pipeline.is_over:
            call.pipeline = CallPipeline(self._spec, self._tasks, told=call.put, failed=call.put)
        await call.pipeline.started()
        return call.pipeline

    async def _drop_pipeline(self, call: _Call) -> None:
        pipeline, call.pipeline = call.pipeline, None
        if pipeline is not None:
            await pipeline.close()

    # --- one clause ---

    async def _speak(self, request: int, job: SpeakJob) -> None:
        call = self._call(job.call)
        async with call.lock:
            call.items = asyncio.Queue(MOST_ITEMS)
            pipeline: CallPipeline | None = None
            try:
                pipeline = await self._pipeline(call)
                await pipeline.push(TTSSpeakFrame(text=job.text, append_to_context=False))
                await self._pass_on(request, job, pipeline, call.items)
            except (PartFailed, PartRefused) as failed:
                self._send(pack(Kind.FAILED, request, str(failed).encode()))
                call.items = None
                await self._drop_pipeline(call)
            except asyncio.CancelledError:
                call.items = None
                if pipeline is None or not await pipeline.interrupt():
                    await self._drop_pipeline(call)
                raise
            finally:
                call.items = None

    async def _pass_on(
        self, request: int, job: SpeakJob, pipeline: CallPipeline, items: asyncio.Queue[PipecatFrame | str]
    ) -> None:
        """Audio and times to the owner as they come. Raises ``PartFailed``."""
        clause = _ClauseAudio(job, self._pace)
        while (item := await _next(items, clause)) is not None:
            if isinstance(item, str):
                raise PartFailed(item)
            if isinstance(item, TTSAudioRawFrame):
                clause.first_at_ns = clause.first_at_ns or int(pipeline.service.get_clock().get_time())
                self._emit(request, clause, clause.push(item))
            elif isinstance(item, TTSTextFrame) and item.pts:
                clause.stamps_ns.append(item.pts)
            elif isinstance(item, TTSStoppedFrame):
                break
        else:
            await pipeline.interrupt()  # it never said that it was done: what may still come is not for the next clause
        self._emit(request, clause, clause.flush())
        if not clause.size:
            raise PartFailed("the service gave no audio")
        self._send(pack_times(request, clause.times()))
        self._send(pack(Kind.END, request))

    def _emit(self, request: int, clause: _ClauseAudio, pcm: Pcm) -> None:
        if not pcm.size:
            return
        if not clause.told:
            clause.told = True
            self._send(pack_times(request, self._pace.guess(clause.job.spoken)))
        for at in range(0, pcm.size, PIECE):
            self._send(pack_audio(request, pcm[at : at + PIECE]))

    def _send(self, data: bytes) -> None:
        self._writer.write(data)


class _ClauseAudio:
    """The audio of one clause as far as it has come."""

    def __init__(self, job: SpeakJob, pace: Pace) -> None:
        self.job = job
        self._pace = pace
        self.expected = pace.expected(job.spoken)
        self._intake: Intake | None = None
        self._rate_hz = 0
        self._trimmer = Trimmer()
        self._pieces: list[Pcm] = []
        self.size = 0
        self.told = False
        self.first_at_ns = 0
        """The pipeline's clock when its first audio came: what word times count from."""
        self.stamps_ns: list[int] = []
        """When the words begin, by that clock, where the service tells."""

    def push(self, frame: Any) -> Pcm:
        """Telephone audio that ``frame`` adds. Raises ``PartFailed``."""
        if self._intake is None:
            if frame.sample_rate not in RATES_HZ or frame.num_channels != 1:
                raise PartFailed(f"the service gives {frame.num_channels} channels of {frame.sample_rate} Hz")
            self._rate_hz = frame.sample_rate
            self._intake = Intake(frame.sample_rate)
        pcm = self._keep(self._trimmer.push(self._intake.push(frame.audio)))
        if self.size > MOST_TIMES_EXPECTED * self.expected + MOST_SPARE:
            raise PartFailed("the service does not end")
        return pcm

    def flush(self) -> Pcm:
        last = self._trimmer.push(self._intake.flush()) if self._intake is not None else np.zeros(0, np.int16)
        return self._keep(np.concatenate((last, self._trimmer.flush())))

    def times(self) -> tuple[tuple[int, int], ...]:
        """Of all words, now that all is there; the pace is learnt from it."""
        self._pace.learn(self.job.spoken, self.size)
        starts = [round((stamp - self.first_at_ns) * RATE_HZ / 1e9) - self._trimmer.lead for stamp in self.stamps_ns]
        exact = stamped(len(self.job.spoken), starts, self.size)
        return exact or measured(self.job.spoken, np.concatenate(self._pieces))

    def _keep(self, pcm: Pcm) -> Pcm:
        if pcm.size:
            self._pieces.append(pcm)
            self.size += pcm.size
        return pcm


async def _next(items: asyncio.Queue[PipecatFrame | str], clause: _ClauseAudio) -> PipecatFrame | str | None:
    """Next thing for the clause; ``None``: silence that is taken for its end. Raises ``PartFailed``."""
    try:
        async with asyncio.timeout(STALL_S if clause.size else FIRST_AUDIO_S):
            return await items.get()
    except TimeoutError:
        if clause.size >= ENOUGH * clause.expected:
            return None
        why = "has stopped in the middle" if clause.size else f"gave no audio within {FIRST_AUDIO_S:g} s"
        raise PartFailed(f"the service {why}") from None


async def serve_voice(spec: PartSpec, link: socket.socket) -> None:
    """Serve until the owner closes."""
    reader, writer = await asyncio.open_connection(sock=link)
    try:
        make_service(spec)  # what is wrong with it stops the start, not the first call
    except PartRefused as refused:
        writer.write(pack(Kind.FAILED, 0, str(refused).encode()))
        await writer.drain()
        return
    frames = FrameReader()
    async with Tasks() as tasks:
        host = VoiceHost(spec, writer, tasks)
        writer.write(pack(Kind.READY, 0))
        while data := await reader.read(65536):
            for frame in frames.feed(data):
                host.handle(frame)
