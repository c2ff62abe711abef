"""One caller with a goal on the line: hears by the service's event stream, speaks when it is silent.

The stream tells the lines, the wire tells when the agent has stopped: a person would know both by ear.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from agent.bench.task_caller import Reply, TaskCaller, What, mostly_heard
from agent.bench.task_goals import Goal
from agent.bench.task_judge import Outcome, Told, judge
from agent.bench.task_lines import LineBook
from agent.bench.task_server import TaskStore
from agent.simulator.caller import CallResult, run_call
from agent.simulator.clips import at_level, clip_of
from agent.simulator.improviser import Improviser
from agent.simulator.media import MediaThread
from agent.simulator.phone import DialFailed, PhoneBook
from agent.simulator.render import Cue, Renderer
from agent.simulator.script import Background, Keys, Part, Script, Sound
from agent.simulator.service import fetch_json, fetch_timeline
from agent.simulator.truth import EventType
from agent.simulator.watch import EventWatch, Seen

POLL_S: Final = 0.04
REACT_S: Final = (0.45, 0.9)
"""Silence of the agent after which this caller answers: people wait a little."""
PATIENCE_S: Final = 10.0
"""Nothing was asked and nothing happens for so long: the caller says it again."""
MOST_S: Final = 240.0

Speak = Callable[[Reply], Awaitable[Cue]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLine:
    """How a caller sounds."""

    voice: str
    speed: float
    pitch: float
    noise: str = ""
    """Kind of the background; empty: a quiet room."""
    noise_db: float = 0.0
    """It lies so far under the caller's speech."""
    seed: int = 1

    @property
    def script(self) -> Script:
        return Script(
            name=f"task{self.seed}",
            steps=self.room,
            voice=self.voice,
            speed=self.speed,
            pitch=self.pitch,
            seed=self.seed,
            max_s=MOST_S,
        )

    @property
    def room(self) -> tuple[Background, ...]:
        """What there is before anything is said."""
        return (Background(line=0, kind=self.noise, snr_db=self.noise_db),) if self.noise else ()

    def opening(self) -> list[Cue]:
        """The room as the caller's first cues."""
        return [Cue(step=step, item="room") for step in self.room]


class Listener:
    """Turns the event stream and the silences of the wire into the caller's turns. Belongs to one event loop."""

    def __init__(self, caller: TaskCaller, performer: Improviser, speak: Speak, *, react_s: float) -> None:
        self._caller, self._performer, self._speak, self._react_s = caller, performer, speak, react_s
        self._being_said: dict[Any, str] = {}
        self._has_news = False

    def take(self, seen: Seen) -> None:
        """One event. A line counts when it is over, if most of it was played out."""
        if seen.kind != "utterance":
            return
        number = seen.data.get("number")
        if seen.data.get("phase") == "started":
            self._being_said[number] = str(seen.data.get("text", ""))
        elif (text := self._being_said.pop(number, None)) is not None and mostly_heard(
            text, str(seen.data.get("heard", ""))
        ):
            self._caller.heard(text)
            self._has_news = True

    async def listen(self, queue: asyncio.Queue[Seen]) -> None:
        """Until cancelled, or until the caller hangs up."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    self.take(await queue.get())
                    continue
            if self._performer.is_busy or self._being_said:
                continue
            silent_s = self._performer.agent_silent_s
            if silent_s == float("inf"):
                continue  # nothing has been said yet
            if self._has_news and silent_s >= self._react_s:
                self._has_news = False
                await self._answer(self._caller.reply())
            elif not self._has_news and silent_s >= PATIENCE_S:
                await self._answer(self._caller.prompt())
                await asyncio.sleep(PATIENCE_S)

    async def _answer(self, reply: Reply) -> None:
        match reply.what:
            case What.HANG_UP:
                self._performer.hang_up()
            case What.SAY | What.KEYS:
                self._performer.post(await self._speak(reply))
            case _:
                pass


class Speaker:
    """Renders what one caller says, off the loop and one at a time (``lock``: the engines keep state)."""

    def __init__(self, renderer: Renderer, lock: asyncio.Lock, script: Script) -> None:
        self._renderer, self._lock, self._script = renderer, lock, script
        self._count = 0

    async def cue(self, reply: Reply) -> Cue:
        self._count += 1
        item = f"{self._count}:{reply.what}"
        if reply.what is What.KEYS:
            return Cue(step=Keys(line=0, digits=reply.text), item=item)
        script = self._script
        async with self._lock:
            pcm = await asyncio.to_thread(
                self._renderer.speech, reply.text, voice=script.voice, speed=script.speed, pitch=script.pitch
            )
        step = Sound(line=0, type=EventType.TURN, parts=(Part(text=reply.text),), expect="reply")
        return Cue(step=step, item=item, clip=clip_of(at_level(pcm, script.level_dbfs)), text=reply.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all calls share."""

    uri: str
    http_url: str
    media: MediaThread
    watch: EventWatch
    store: TaskStore
    book: LineBook
    renderer: Renderer
    lock: asyncio.Lock
    use_keys: bool = True


async def run_task_call(bench: Bench, goal: Goal, line: TaskLine) -> Outcome | None:
    """One call from dial to verdict; ``None`` where it was not answered."""
    rng = random.Random(line.seed)
    script = line.script
    caller = TaskCaller(goal, bench.book, seed=line.seed, use_keys=bench.use_keys)
    performer = Improviser(script.name, opening=line.opening(), max_s=script.max_s)
    speaker = Speaker(bench.renderer, bench.lock, script)
    listener = Listener(caller, performer, speaker.cue, react_s=rng.uniform(*REACT_S))
    tasks: list[asyncio.Task[None]] = []

    def answered(book: PhoneBook) -> None:
        tasks.append(asyncio.create_task(listener.listen(bench.watch.of(book.service_call_id))))

    try:
        result = await run_call(
            bench.uri, script, media=bench.media, performer=performer, call=script.name, on_answer=answered
        )
    except DialFailed:
        return None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if not result.answered:
        return None
    bench.watch.forget(result.book.service_call_id)
    told = await told_of(bench, result)
    return judge(
        goal,
        told,
        bench.book,
        asked=caller.asked,
        keyed=caller.keyed > 0,
        said=caller.said,
        is_void=not result.pacing.is_good,
    )


async def told_of(bench: Bench, result: CallResult) -> Told:
    """What the service and the customer's server have of a call that is over."""
    timeline = await fetch_timeline(bench.http_url, result.book)
    call_id = result.book.service_call_id
    record = await fetch_json(f"{bench.http_url}/v1/calls/{call_id}")
    events = await fetch_json(f"{bench.http_url}/v1/calls/{call_id}/events")
    return Told(
        record=record or {},
        events=(events or {}).get("events", []),
        timeline=timeline,
        tools=bench.store.asked(call_id),
    )
