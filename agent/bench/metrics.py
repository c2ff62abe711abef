"""The metrics of a duplex conversation, as pure functions over recorded evidence.

Definitions: docs/reference/duplex-metrics.md. Times are seconds on the caller's clock. A response or a yield that
never comes is infinite and stays in every percentile; a function that cannot judge an event leaves it out and the
count says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.bench.evidence import CONTROL_LEFT_S, STOP_SILENCE_S, CallEvidence
from agent.bench.statistics import MISS, Proportion
from agent.simulator.energy import AGENT_ACTIVE_DBFS, FRAME_S, RATE_HZ, Levels, Pcm, Span, levels
from agent.simulator.truth import EventType, TruthEvent

EARLY_S = 0.25
"""An answer may begin that long before the turn's last sound."""
ANSWER_WINDOW_S = 5.0
CONTENT_S = 0.8
CONTENT_WORDS = 3
AFTER_HOLD_S = 0.2
AFTER_OVERLAP_S = 1.0
AFTER_SILENT_S = 2.0
YIELD_LIMIT_S = 2.0
FAST_YIELD_S = 0.6
STUMBLE_S = 1.0
NATURAL_END_S = 0.15
"""Two runs of the same answer end within this of each other."""
NEXT_SLACK_S = 0.05
"""An utterance of the log begins on the wire within this."""
DUCK_DB = 12.0
ALIGN_S = 0.5
ALIGN_SLACK_S = 0.25
ALIGN_SCORE = 0.8
DEAD_AIR_S = 2.0
FALSE_ALARM_PENALTY_S = 2.0
LATE_CAP_S = 5.0
HEADLINE_EVENTS = 30
PAUSE_BUCKETS_S = ((0.3, 0.6), (0.6, 1.0), (1.0, 1.6), (1.6, 2.5))
SELECTIVE = (EventType.BACKCHANNEL, EventType.TIC, EventType.SIDE_TALK, EventType.NOISE)


# --- response latency, pauses, false starts ---


@dataclass(frozen=True, slots=True)
class Response:
    """How one turn was answered. ``any_s`` counts any segment, ``content_s`` the first with something to say."""

    call: str
    any_s: float
    content_s: float


def responses(calls: Iterable[CallEvidence]) -> list[Response]:
    """One entry per turn that expects a reply and was not talked into (those are void and count as false starts)."""
    return [
        _response(call, turn)
        for call in calls
        for turn in call.of(EventType.TURN)
        if turn.expect == "reply" and not _false_starts(call, turn)
    ]


def _response(call: CallEvidence, turn: TruthEvent) -> Response:
    answers = call.agent.onsets(turn.end - EARLY_S, turn.end + ANSWER_WINDOW_S)
    content = [segment for segment in answers if _has_content(call, segment)]
    return Response(
        call.call,
        answers[0].start - turn.end if answers else MISS,
        content[0].start - turn.end if content else MISS,
    )


def _has_content(call: CallEvidence, segment: Span) -> bool:
    return segment.length >= CONTENT_S - 1e-6 or len(call.log.words_in(segment)) >= CONTENT_WORDS


def _false_starts(call: CallEvidence, turn: TruthEvent) -> list[Span]:
    """Agent onsets inside the unfinished turn, but for those that count as an early answer."""
    inside = call.onsets(turn.start, turn.end - EARLY_S)
    return [segment for segment in inside if turn.start < segment.start < turn.end - EARLY_S]


def false_starts_per_100_turns(calls: Sequence[CallEvidence]) -> float:
    """Agent onsets inside unfinished turns (speech or hold) per 100 caller turns. NaN without turns."""
    turns = [(call, turn) for call in calls for turn in call.of(EventType.TURN)]
    if not turns:
        return math.nan
    return 100 * sum(len(_false_starts(call, turn)) for call, turn in turns) / len(turns)


def pause_takeover(
    calls: Iterable[CallEvidence], *, shortest_s: float = 0.0, longest_s: float = math.inf
) -> Proportion:
    """Holds of [shortest, longest) into which the agent began to speak, up to 0.2 s after their end."""
    taken = n = 0
    for call in calls:
        for hold in call.of(EventType.HOLD):
            # Rounded: 0.6 s as a difference of two floats must fall into the bucket that begins at 0.6 s.
            if shortest_s <= round(hold.end - hold.start, 6) < longest_s:
                n += 1
                onsets = call.onsets(hold.start, hold.end + AFTER_HOLD_S)
                taken += any(segment.start > hold.start for segment in onsets)
    return Proportion(taken, n)


# --- yields ---


@dataclass(frozen=True, slots=True)
class Yielding:
    """How the agent gave way to one interruption."""

    call: str
    yield_s: float
    """Stop − start; infinite if it went on talking to its end."""
    duck_s: float
    """First level drop of 12 dB − start; infinite if there was none."""
    cut_s: float
    """As ``yield_s``, but the agent's next utterance counts as a stop too, by the service's log. An agent that gives
    way and answers within half a second never shows the silence that ``yield_s`` asks for."""


def yields(calls: Iterable[CallEvidence]) -> list[Yielding]:
    """One entry per interruption of an agent that speaks and, by the control run, had at least 2 s more to say."""
    return [
        Yielding(call.call, _yield_latency(call, event), _duck_latency(call, event), _cut_latency(call, event))
        for call in calls
        for event in call.of(EventType.INTERRUPT)
        if call.agent_had_more(event)
    ]


def _yield_latency(call: CallEvidence, event: TruthEvent) -> float:
    """Past the limit, a stop where the control run stops as well is the end of the answer: no yield."""
    stop = call.agent.stop_after(event.start)
    if stop is None:
        return MISS
    latency = stop - event.start
    natural = abs(latency - call.controls[event.item].left_s) <= NATURAL_END_S
    return MISS if natural and latency > YIELD_LIMIT_S else latency


def _cut_latency(call: CallEvidence, event: TruthEvent) -> float:
    following = [one.start for one in call.log.utterances if one.start > event.start]
    before = [
        span.end
        for span in call.agent.spans
        if following and event.start < span.end and span.start < min(following) - NEXT_SLACK_S
    ]
    latency = _yield_latency(call, event)
    return min(latency, max(before) - event.start) if before else latency


def _duck_latency(call: CallEvidence, event: TruthEvent) -> float:
    control = call.controls[event.item]
    until = event.start + control.left_s - NATURAL_END_S
    gains = None
    if control.agent is not None:
        gains = gain_against(call.agent.pcm, event.start, control.agent.pcm, control.at, until - event.start)
    drop = level_drop(call.agent.levels, event.start, until) if gains is None else _first_drop(gains, event.start)
    return MISS if drop is None else drop - event.start


def gain_against(pcm: Pcm, start: float, control: Pcm, control_start: float, length_s: float) -> Levels | None:
    """Level of each 10 ms frame from ``start`` against the same frame of a control run, in dB; NaN where it is quiet.

    The runs are aligned by correlating the half second before ``start``; ``None`` where they do not say the same.
    """
    first, reference = round(start * RATE_HZ), round(ALIGN_S * RATE_HZ)
    head = pcm[max(0, first - reference) : first].astype(np.float64)
    around, slack = round(control_start * RATE_HZ), round(ALIGN_SLACK_S * RATE_HZ)
    low = max(0, around - len(head) - slack)
    field_ = control[low : around + slack].astype(np.float64)
    if len(head) < reference // 2 or len(field_) < len(head) or not head.any():
        return None
    scores = np.correlate(field_, head, "valid")
    energy = np.convolve(np.square(field_), np.ones(len(head)), "valid")
    normal = scores / np.sqrt(np.maximum(energy, 1.0) * np.sum(np.square(head)))
    best = int(np.argmax(normal))
    if normal[best] < ALIGN_SCORE:
        return None
    aligned = low + best + len(head)
    samples = min(round(length_s * RATE_HZ), len(pcm) - first, len(control) - aligned)
    heard, meant = levels(pcm[first : first + samples]), levels(control[aligned : aligned + samples])
    return np.where(meant >= AGENT_ACTIVE_DBFS, heard - meant, np.nan)


def _first_drop(gains: Levels, start: float) -> float | None:
    """Time of the first of three audible frames in a row that are at least 12 dB too low."""
    audible = np.flatnonzero(~np.isnan(gains))
    low = gains[audible] <= -DUCK_DB
    for index in range(len(audible) - 2):
        if low[index : index + 3].all():
            return start + float(audible[index]) * FRAME_S
    return None


def level_drop(
    frame_levels: Levels, start: float, until: float, *, window_s: float = 0.2, before_s: float = 1.0
) -> float | None:
    """Without a control run of the same words: first time in [start, until) from which every frame of ``window_s``
    lies 12 dB under the P90 of the second before ``start``. Gaps between words last less than the window; one that
    runs into the drop dates it early by its length.
    """
    first = round(start / FRAME_S)
    before = frame_levels[max(0, first - round(before_s / FRAME_S)) : first]
    window = round(window_s / FRAME_S)
    if not len(before):
        return None
    low = frame_levels[first : round(until / FRAME_S)] <= np.percentile(before, 90) - DUCK_DB
    if len(low) < window:
        return None
    whole = np.convolve(low.astype(np.int64), np.ones(window, np.int64), "valid") == window
    found = np.flatnonzero(whole)
    return float((first + found[0]) * FRAME_S) if len(found) else None


# --- selectivity ---


@dataclass(frozen=True, slots=True)
class Selection:
    """How the agent took one sound that was not for it."""

    call: str
    type: EventType
    correct: bool
    agent_spoke: bool
    stumbled: bool
    """It stopped wrongly and went on within a second: still wrong."""


def selections(calls: Iterable[CallEvidence]) -> list[Selection]:
    """One entry per backchannel, tic, side talk and noise that can be judged."""
    found = []
    for call in calls:
        for event in call.of(*SELECTIVE):
            if not call.agent.speaking_at(event.start):
                wrong = [s for s in call.agent.onsets(event.start, event.end + AFTER_SILENT_S) if s.start > event.start]
                found.append(Selection(call.call, event.type, not wrong, False, False))
            elif call.agent_had_more(event) and _judgeable(call, event):
                found.append(_while_speaking(call, event))
    return found


def _judgeable(call: CallEvidence, event: TruthEvent) -> bool:
    """A sound that outlasts the answer says nothing: the control run must go on through the whole window."""
    return call.controls[event.item].left_s > event.end - event.start + AFTER_OVERLAP_S


def _while_speaking(call: CallEvidence, event: TruthEvent) -> Selection:
    stop = call.agent.stop_after(event.start)
    wrong = stop is not None and event.start < stop <= event.end + AFTER_OVERLAP_S
    stumbled = wrong and stop is not None and bool(call.agent.onsets(stop, stop + STUMBLE_S))
    return Selection(call.call, event.type, not wrong, True, stumbled)


def selectivity(found: Iterable[Selection], type_: EventType) -> Proportion:
    """Share of ``type_`` that was taken rightly."""
    judged = [one.correct for one in found if one.type is type_]
    return Proportion(sum(judged), len(judged))


def headline_selectivity(found: Sequence[Selection]) -> float | None:
    """Unweighted mean of the four classes; ``None`` unless each has 30 events."""
    classes = [selectivity(found, type_) for type_ in SELECTIVE]
    if any(one.n < HEADLINE_EVENTS for one in classes):
        return None
    return sum(one.share for one in classes) / len(classes)


def average_penalty_s(yielded: Sequence[Yielding], selected: Sequence[Selection]) -> float:
    """Mean seconds of being late to an interruption (at most 5) and 2 s for each false alarm. NaN without events."""
    n = len(yielded) + len(selected)
    late = sum(min(LATE_CAP_S, max(0.0, one.yield_s)) for one in yielded)
    alarms = sum(FALSE_ALARM_PENALTY_S for one in selected if not one.correct)
    return (late + alarms) / n if n else math.nan


# --- the whole call ---


def caller_speech(call: CallEvidence) -> list[Span]:
    """Stretches in which the caller really speaks to the agent: turns without their holds, and interruptions."""
    holds = sorted(Span(event.start, event.end) for event in call.of(EventType.HOLD))
    found: list[Span] = []
    for event in call.of(EventType.TURN, EventType.INTERRUPT):
        start = event.start
        for hold in holds:
            if event.start < hold.start and hold.end < event.end:
                found.append(Span(start, hold.start))
                start = hold.end
        found.append(Span(start, event.end))
    return sorted(found)


def talk_over(calls: Sequence[CallEvidence]) -> float:
    """Seconds in which both are active per minute of caller speech, without listed backchannels of either side."""
    both = spoken = 0.0
    for call in calls:
        agent = [segment for segment in call.agent.segments if not call.log.is_backchannel(segment)]
        for span in caller_speech(call):
            spoken += span.length
            both += sum(span.overlap(segment) for segment in agent)
    return both / (spoken / 60) if spoken else math.nan


def self_interruptions(pairs: Iterable[tuple[CallEvidence, CallEvidence]]) -> float:
    """(echo run, control run) pairs with a silent caller → agent stops per minute of agent speech."""
    stops, spoken = 0, 0.0
    for echo, control in pairs:
        spoken += sum(span.length for span in echo.agent.spans)
        stops += _cuts(echo.agent.utterances, control.agent.utterances)
    return stops / (spoken / 60) if spoken else math.nan


def _cuts(heard: Sequence[Span], meant: Sequence[Span]) -> int:
    """How often utterances that the control run says in one piece were cut. Each takes pieces until it is whole."""
    cuts, at = 0, 0
    for whole in meant:
        pieces, length = 0, 0.0
        while at < len(heard) and length < whole.length - STOP_SILENCE_S:
            pieces, length, at = pieces + 1, length + heard[at].length, at + 1
        cuts += max(0, pieces - 1) + (pieces > 0 and length <= whole.length - CONTROL_LEFT_S)
    return cuts


def dead_air_per_call(calls: Sequence[CallEvidence]) -> float:
    """Silences of more than 2 s where the agent was expected to speak, per call."""
    silences = 0
    for call in calls:
        turns = [turn for turn in call.of(EventType.TURN) if turn.expect == "reply"]
        for turn in turns:
            waited = call.agent.onsets(turn.end - EARLY_S, turn.end + DEAD_AIR_S)
            silences += not waited and not call.agent.speaking_at(turn.end)
    return silences / len(calls) if calls else math.nan
