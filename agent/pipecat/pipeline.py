"""One Pipecat pipeline of one call: a service and a sink, run by a runner of its own. In Pipecat's processes only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from pipecat.frames.frames import ErrorFrame, Frame, InterruptionFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from agent.pipecat.build import make_service
from agent.pipecat.spec import PartSpec
from agent.tasks import Tasks

START_S: Final = 10.0
CLOSE_S: Final = 2.0
INTERRUPT_S: Final = 1.0


class PartFailed(Exception):
    """A service did not do what it was asked."""


class _Sink(FrameProcessor):  # type: ignore[misc]  # Pipecat is not type-checked here
    """The end of the pipeline: tells of every frame that comes down."""

    def __init__(self, told: Callable[[Frame], None]) -> None:
        super().__init__()
        self._crosstalk_told = told  # short names would hide those of the base class

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is FrameDirection.DOWNSTREAM:
            self._crosstalk_told(frame)
        await self.push_frame(frame, direction)


class CallPipeline:
    """``told(frame)``: what reached the end; ``failed(reason)``: the service, or the pipeline, could not."""

    def __init__(
        self, spec: PartSpec, tasks: Tasks, *, told: Callable[[Frame], None], failed: Callable[[str], None]
    ) -> None:
        """Raises ``PartRefused``."""
        self.service: Any = make_service(spec)
        self._spec = spec
        self._tasks = tasks
        self._told = told
        self._failed = failed
        self._is_started = False
        self._settled = asyncio.Event()
        """Started, or over without having been."""
        self._over = asyncio.Event()
        self._interrupted = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._worker = PipelineWorker(
            Pipeline([self.service, _Sink(self._arrived)]),
            params=PipelineParams(audio_in_sample_rate=spec.rate_hz, audio_out_sample_rate=spec.rate_hz),
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
            check_dangling_tasks=False,
            setup_timeout_secs=START_S,
            start_timeout_secs=START_S,
            cancel_timeout_secs=CLOSE_S,
        )
        self._worker.add_event_handler("on_pipeline_started", self._on_started)
        self._worker.add_event_handler("on_pipeline_error", self._on_error)

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def open(self) -> None:
        """Begin to start it."""
        if self._runner is None:
            self._runner = self._tasks.start(self._run())

    async def started(self) -> None:
        """Wait until frames can be pushed. Raises ``PartFailed``."""
        self.open()
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._settled.wait()
        if not self._is_started or self.is_over:
            raise PartFailed("the service did not start")

    async def push(self, frame: Frame) -> None:
        await self._worker.queue_frame(frame)

    async def interrupt(self) -> bool:
        """Drop what is under way; true when that is sure, and what comes from now on belongs to what is asked next."""
        self._interrupted.clear()
        await self.push(InterruptionFrame())
        with suppress(TimeoutError):
            async with asyncio.timeout(INTERRUPT_S):
                await self._interrupted.wait()
        return self._interrupted.is_set()

    async def close(self) -> None:
        """End it, in time."""
        runner = self._runner
        if runner is None:
            return
        self._failed = lambda reason: None
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._worker.cancel()
                await self._over.wait()
        runner.cancel()

    # --- inside ---

    async def _run(self) -> None:
        runner = WorkerRunner(handle_sigint=False, check_dangling_tasks=False)
        try:
            await runner.add_workers(self._worker)
            await runner.run()
        except Exception as error:  # one call's service must not end the process of all
            self._failed(self._spec.hide(f"{type(error).__name__}: {error}"))
        finally:
            self._over.set()
            self._settled.set()

    def _arrived(self, frame: Frame) -> None:
        if isinstance(frame, InterruptionFrame):
            self._interrupted.set()
        self._told(frame)

    async def _on_started(self, _worker: Any, _frame: Any) -> None:
        self._is_started = True
        self._settled.set()

    async def _on_error(self, _worker: Any, frame: ErrorFrame) -> None:
        self._failed(self._spec.hide(str(frame.error)))
