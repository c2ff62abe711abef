"""Tells the log what a worker, which has none, counts: slow steps, rows that failed, recognisers that died."""

from __future__ import annotations

from agent.events.names import LogEvent
from agent.logging import Log
from agent.model.names import ModelName
from agent.pool.messages import WorkerStats


class WorkerWatch:
    """What was told of one worker process."""

    def __init__(self, name: str, log: Log) -> None:
        self._log = log.bind(worker=name)
        self._overruns = self._failed = self._restarts = 0
        self._was_short = False
        self._fallback = ""

    def see(self, stats: WorkerStats) -> None:
        """Tell what is new since the last statistics."""
        if new := stats.overruns - self._overruns:
            self._log.warning(LogEvent.WORKER_OVERRUN, new=new, p99_ms=stats.step_p99_ms)
        if new := stats.failed_rows - self._failed:
            self._log.error(LogEvent.WORKER_ROW_FAILED, new=new, error=stats.last_error)
        self._overruns, self._failed = stats.overruns, stats.failed_rows
        if stats.fallback != self._fallback:
            judging = ModelName.PARTS if stats.fallback else ModelName.SMALL
            self._log.warning(LogEvent.EARS_CHANGED, model=judging, why=stats.fallback)
        self._fallback = stats.fallback
        self._see_recognisers(stats)

    def _see_recognisers(self, stats: WorkerStats) -> None:
        live, wanted = stats.recognisers_live, stats.recognisers_wanted
        if new := stats.recogniser_restarts - self._restarts:
            self._log.warning(LogEvent.EARS_RESTARTED, new=new, given_up=stats.recogniser_given_up)
        is_short = live < wanted
        if is_short and not self._was_short:
            self._log.error(LogEvent.EARS_LOST, live=live, wanted=wanted)
        elif self._was_short and not is_short:
            self._log.info(LogEvent.EARS_BACK, live=live)
        self._restarts, self._was_short = stats.recogniser_restarts, is_short
