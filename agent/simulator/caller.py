"""One simulated call from dial to books: a telephone, a line on the media thread, a script in performance."""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.simulator.energy import RATE_HZ, Pcm
from agent.simulator.line import Line, Pacing
from agent.simulator.media import MediaThread
from agent.simulator.network import NetworkProfile
from agent.simulator.performer import Performer
from agent.simulator.phone import Phone, PhoneBook
from agent.simulator.recording import PacketTrack, wire_channel
from agent.simulator.render import Cue, Renderer, backgrounds
from agent.simulator.script import Script
from agent.simulator.truth import TruthEvent, write_truth
from telephony.audio.g711 import alaw_decode, ulaw_decode
from telephony.media import LegMedia


@dataclass(slots=True, kw_only=True)
class CallResult:
    """One call as the caller has it."""

    call: str
    book: PhoneBook
    events: list[TruthEvent]
    notes: list[str]
    caller: Pcm
    """(samples,) as sent."""
    agent: Pcm
    """(samples,) as it came off the wire, on the same clock."""
    track: PacketTrack
    pacing: Pacing
    seed: int
    network: NetworkProfile
    exact_arrivals: bool
    """Arrival times are the kernel's."""
    started_at: float = 0.0
    """Monotonic time of the recording's start."""

    @property
    def answered(self) -> bool:
        return self.book.status == 200

    @property
    def length_s(self) -> float:
        return max(len(self.caller), len(self.agent)) / RATE_HZ

    def to_json(self) -> dict[str, Any]:
        return {
            "call": self.call,
            "status": self.book.status,
            "ended_by": self.book.ended_by,
            "reason": self.book.reason,
            "bye_status": self.book.bye_status,
            "service_call_id": self.book.service_call_id,
            "transferred_to": self.book.transferred_to,
            "answered_after_ms": round(self.book.answered_after_s * 1000, 1),
            "seconds": round(self.length_s, 2),
            "notes": self.notes,
            "seed": self.seed,
            "network": asdict(self.network),
            "pacing": {"good": self.pacing.is_good, "worst_ms": round(self.pacing.worst_s * 1000, 2)},
            "exact_arrivals": self.exact_arrivals,
        }


async def run_call(
    uri: str,
    script: Script,
    *,
    media: MediaThread,
    cues: tuple[Cue, ...] | None = None,
    renderer: Renderer | None = None,
    performer: Performer | None = None,
    call: str = "call",
    control: bool = False,
    seed: int | None = None,
    on_answer: Callable[[PhoneBook], None] | None = None,
) -> CallResult:
    """Dial ``uri`` and perform ``script``. Raises ``DialFailed`` only where nothing could be sent.

    ``cues`` may be rendered once and used for many calls. ``control``: nothing is said over the agent's voice.
    ``performer``: speaks in place of the script's steps; line, level and limits are the script's.
    """
    if cues is None and performer is None:
        # Rendering takes seconds and the engines keep state: off the loop, one at a time.
        cues = await asyncio.to_thread((renderer or Renderer()).cues, script)
    noises = await asyncio.to_thread(backgrounds, script)
    seed = script.seed if seed is None else seed
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    performer = performer or Performer(call, cues or (), control=control, max_s=script.max_s)
    line = Line(
        performer,
        profile=NetworkProfile(**{**asdict(script.network), "seed": seed}),
        noises=noises,
        host="0.0.0.0" if not _is_local(uri) else "127.0.0.1",
        rng=np.random.default_rng(seed),
    )
    line.on_finished = lambda: _post(loop, done)

    def agreed(found: LegMedia) -> None:
        media.add(line, found)

    phone = Phone(uri, rtp_port=line.port, on_media=agreed, accept_transfer=script.accept_transfer)
    try:
        if await phone.dial():
            if on_answer is not None:
                on_answer(phone.book)
            await _until_over(phone, done, script.max_s + 5.0)
    finally:
        phone.hang_up()
        media.remove(line)
        await phone.close()
        await asyncio.sleep(0.03)  # the media thread lets go of the line within one of its sleeps
        line.close()
    return _result(call, phone, line, seed)


async def _until_over(phone: Phone, done: asyncio.Event, limit_s: float) -> None:
    """Until either side hangs up."""
    waits = [asyncio.ensure_future(phone.ended.wait()), asyncio.ensure_future(done.wait())]
    try:
        await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _post(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    loop.call_soon_threadsafe(done.set)


def _is_local(uri: str) -> bool:
    return "@127." in uri or ":127." in uri or "localhost" in uri


def _result(call: str, phone: Phone, line: Line, seed: int) -> CallResult:
    track = line.track()
    caller = line.sent_pcm()
    decode = alaw_decode if line.is_alaw else ulaw_decode
    return CallResult(
        call=call,
        book=phone.book,
        events=sorted(line.performer.events, key=lambda event: event.start),
        notes=line.performer.notes,
        caller=caller,
        agent=wire_channel(track, decode, length_s=len(caller) / RATE_HZ),
        track=track,
        pacing=line.pacing,
        seed=seed,
        network=line.profile,
        exact_arrivals=line.kernel_stamps,
        started_at=line.started_at,
    )


# --- files ---


def save_call(result: CallResult, folder: Path) -> None:
    """``call.wav`` (left the caller, right the agent), ``truth.jsonl``, ``packets.npz``, ``call.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    with wave.open(str(folder / "call.wav"), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(stereo(result.caller, result.agent).tobytes())
    write_truth(folder / "truth.jsonl", result.events)
    result.track.save(folder / "packets.npz")
    (folder / "call.json").write_text(json.dumps(result.to_json(), indent=2) + "\n", encoding="utf-8")


def stereo(left: Pcm, right: Pcm) -> Pcm:
    """(samples, 2) int16, the shorter channel padded with silence."""
    both = np.zeros((max(len(left), len(right)), 2), np.int16)
    both[: len(left), 0] = left
    both[: len(right), 1] = right
    return both
