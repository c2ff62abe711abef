"""The dialogue machine: ``step(flow, world, state, input) → (state, actions)``. Pure.

What is tried on a turn, in this order: a correction of what was read back; yes or no alone; a whole value for the
slot that is asked for; an intent; yes or no with other words; a part of a value; an intent that may be meant, which is
asked about; else it was not understood. Words that the ears are not sure of can be free text, or such a question.
"""

from __future__ import annotations

from agent.brain.flow.digits import read_digits
from agent.brain.flow.flow import Flow
from agent.brain.flow.inputs import Input, Key, Opened, Said, Silent, ToolDone, TransferFailed, World
from agent.brain.flow.match import SURE, Match
from agent.brain.flow.run import SILENT_GOODBYE, Run, is_text_slot
from agent.brain.flow.slots import Reading, SlotReading, check_digits, correct_slot, read_slot
from agent.brain.flow.spec import IntentDoes, Lines, SlotKind, SlotSpec, StateKind
from agent.brain.flow.state import State
from agent.brain.flow.words import normalise
from agent.brain.flow.yes_no import read_yes_no
from agent.brain.protocol import Action, Hangup

YES_KEY, NO_KEY = "1", "2"
"""Keys for yes and no where something is being confirmed."""
SURE_WORDS = 0.35
"""Confidence of words that are taken as said; words below it can only raise a question."""
MOST_PASSED_OVER = 2
"""Turns between two keys of a number that are not answered."""
_LEAVING = (StateKind.TRANSFER, StateKind.HANGUP)


def step(flow: Flow, world: World, state: State, given: Input) -> tuple[State, tuple[Action, ...]]:
    """Answer one input."""
    run = Run(flow, world, state, _origin(world, state, given))
    match given:
        case Opened():
            run.say_fixed(flow.spec.disclosure)
            run.enter(flow.spec.start)
        case Said():
            run.set(silences=0)
            _said(run, given)
        case Key():
            run.set(silences=0, keys_pressed=state.keys_pressed + 1, passed_over=0)
            _key(run, given.digit)
        case Silent():
            _silent(run)
        case ToolDone():
            run.tool_result(given.result)
        case TransferFailed():
            _transfer_failed(run, given)
    return run.finish()


def _origin(world: World, state: State, given: Input) -> str:
    """What led to this step, for request ids: the same turn always gives the same."""
    match given:
        case Said():
            return f"t{given.turn}"
        case Key():
            return f"k{state.keys_pressed + 1}"
        case ToolDone():
            return given.result.request_id.removeprefix(f"{world.call_id}:") + "+"
        case Opened() | Silent() | TransferFailed():
            return type(given).__name__.lower()


# --- turns -----------------------------------------------------------------------------------------------------


def _said(run: Run, given: Said) -> None:
    """A turn. While a number is keyed only what says something whole counts: the rest is the room behind the caller.

    Who has stopped keying and talks is answered the third time.
    """
    is_sure, passed_over = given.confidence >= SURE_WORDS, run.state.passed_over
    is_of_the_room = bool(run.state.keys) and not (is_sure and _says_something_whole(run, given.words))
    if is_of_the_room and passed_over < MOST_PASSED_OVER:
        run.set(passed_over=passed_over + 1)
        run.note("keys_go_on", len(run.state.keys))
        return
    run.set(keys="", passed_over=0)
    _turn(run, given.words, is_sure=is_sure)


def _says_something_whole(run: Run, words: tuple[str, ...]) -> bool:
    tokens = normalise(words)
    if run.flow.matchers[run.state.at].best(tokens) is not None:
        return True
    slot = run.slot
    return slot is not None and read_slot(slot, tokens, words, today=run.world.today).reading is Reading.VALUE


def _turn(run: Run, words: tuple[str, ...], *, is_sure: bool) -> None:
    tokens = normalise(words)
    repairs = run.flow.spec.repairs
    if not tokens:
        _not_understood(run, repairs.not_understood)
        return
    intent = run.flow.matchers[run.state.at].best(tokens)
    understood = (
        _unsure(run, tokens, words, intent)
        if not is_sure
        else (
            _correction(run, tokens)
            or _yes_no(run, tokens, alone=True)
            or _value(run, tokens, words, intent)
            or _intent(run, intent)
            or _yes_no(run, tokens, alone=False)
            or _part(run, tokens, words)
            or _guess(run, tokens, None)
        )
    )
    if not understood:
        run.note("out_of_scope", len(tokens))
        is_talk = is_sure and len(tokens) > 1
        _not_understood(run, repairs.out_of_scope if is_talk else repairs.not_understood)
    elif not run.has_answered:
        _not_understood(run, repairs.not_understood)


def _unsure(run: Run, tokens: list[str], words: tuple[str, ...], intent: Match | None) -> bool:
    """Words that may be wrong: a text is kept as it was heard, a wish is asked about, nothing else is taken."""
    if is_text_slot(run.slot) and not run.state.confirming:
        return _value(run, tokens, words, None)
    return _guess(run, tokens, intent)


def _guess(run: Run, tokens: list[str], intent: Match | None) -> bool:
    """Ask about the wish that these words point to, where the dialogue has a question for it."""
    node = run.node
    if node.kind not in (StateKind.LISTEN, StateKind.ASK) or run.state.confirming or read_digits(tokens).digits:
        return False
    name = intent.intent if intent is not None else run.flow.matchers[run.state.at].guess(tokens)
    if not name or not run.flow.spec.intents[name].confirm:
        return False
    if name == run.state.guess:
        _take(run, name)  # asked whether they mean it, the caller says it again
    else:
        run.ask_whether(name)
    return True


def _not_understood(run: Run, why: Lines) -> None:
    if run.state.waiting:
        run.say(run.flow.spec.repairs.still_working)
    elif run.node.kind in _LEAVING:
        run.enter(run.node.name)  # say goodbye again, and go
    else:
        run.miss(why)


def _confirmed_slots(run: Run) -> list[SlotSpec]:
    """Slots whose values are being confirmed and may be corrected in the answer."""
    if run.state.confirming and run.slot is not None:
        return [run.slot]
    return [run.flow.spec.slots[name] for name in run.node.correct]


def _correction(run: Run, tokens: list[str]) -> bool:
    """No, the last one is nine."""
    unclear = False
    for slot in _confirmed_slots(run):
        old = run.state.slots.get(slot.name, "")
        found = correct_slot(slot, old, tokens, today=run.world.today)
        if found.reading in (Reading.NOTHING, Reading.PART):
            continue
        if found.reading is Reading.UNCLEAR:
            unclear = True
            continue
        _apply_correction(run, slot, old, found)
        return True
    if unclear and run.flow.matchers[run.state.at].best(tokens) is None:
        run.miss(run.flow.spec.repairs.unclear_correction)
        return True
    return False


def _apply_correction(run: Run, slot: SlotSpec, old: str, found: SlotReading) -> None:
    if found.reading is not Reading.VALUE:
        run.refuse(slot, found.reading)
    elif found.value == old:
        _agreed(run)  # the caller repeats what was read back
    else:
        run.fill(slot, found.value)
        run.set(misses=0)
        run.note("corrected", slot.name)
        run.ask_again()


def _yes_no(run: Run, tokens: list[str], *, alone: bool) -> bool:
    found = read_yes_no(tokens)
    if found.answer is None or (alone and not found.alone):
        return False
    return _answered(run, found.answer)


def _answered(run: Run, yes: bool) -> bool:
    """A yes or a no, if one is expected here."""
    if run.state.confirming or run.state.guess or run.node.kind is StateKind.CONFIRM:
        if yes:
            _agreed(run)
        else:
            _denied(run)
        return True
    if run.slot is not None and run.slot.kind is SlotKind.YES_NO:
        run.accept(run.slot, "yes" if yes else "no")
        return True
    target = run.node.yes if yes else run.node.no
    if target:
        run.enter(target)
    return bool(target)


def _agreed(run: Run) -> None:
    """A yes counts only for what was heard: who agrees to half a number is read it again."""
    if not run.state.value_heard:
        run.note("agreed_unheard", run.state.at)
        run.say(run.flow.spec.repairs.not_heard)
        run.ask_again()
        return
    node = run.node
    run.set(misses=0)
    if run.state.guess:
        _take(run, run.state.guess)
    elif run.state.confirming:
        run.agree(node.ask)
        run.enter(node.then)
    else:
        run.agree(*node.correct)
        run.enter(node.yes)


def _denied(run: Run) -> None:
    node, slot = run.node, run.slot
    if run.state.guess:
        run.denied_guess()
        return
    run.set(misses=0)
    if slot is not None and run.state.confirming:
        run.forget(slot.name)
        run.set(confirming=False)
        run.say(slot.again or slot.prompt)
    else:
        run.enter(node.no)


def _value(run: Run, tokens: list[str], words: tuple[str, ...], intent: Match | None) -> bool:
    """A whole value for the slot that is asked for. Free text gives way to an intent that is said exactly."""
    slot = run.slot
    if slot is None or run.state.confirming:
        return False
    if is_text_slot(slot) and intent is not None and intent.score >= SURE:
        return False
    found = read_slot(slot, tokens, words, today=run.world.today, partial=run.state.partial)
    if found.reading is Reading.VALUE:
        run.accept(slot, found.value)
    elif found.reading in (Reading.INVALID, Reading.TOO_MANY) and intent is None:
        run.refuse(slot, found.reading)
    else:
        return False
    return True


def _part(run: Run, tokens: list[str], words: tuple[str, ...]) -> bool:
    """Some digits of a number: keep them and wait for the others."""
    slot = run.slot
    if slot is None or run.state.confirming:
        return False
    found = read_slot(slot, tokens, words, today=run.world.today, partial=run.state.partial)
    if found.reading is not Reading.PART:
        return False
    run.set(partial=found.value)
    run.note("slot_part", slot.name)
    run.say(run.flow.spec.repairs.more_digits)
    return True


# --- intents -----------------------------------------------------------------------------------------------------


def _intent(run: Run, found: Match | None) -> bool:
    if found is None:
        return False
    run.note("intent", {"name": found.intent, "score": round(found.score, 2)})
    run.set(misses=0, guess="")
    if found.slot and found.digits:
        slot = run.flow.spec.slots[found.slot]
        reading = check_digits(slot, found.digits)
        if reading.reading is Reading.VALUE:
            run.fill(slot, reading.value)
    _do_intent(run, found.intent)
    return True


def _take(run: Run, name: str) -> None:
    """The caller agreed that this is what they want."""
    run.note("intent", {"name": name, "confirmed": True})
    run.set(guess="")
    _do_intent(run, name)


def _do_intent(run: Run, name: str) -> None:
    intent = run.flow.spec.intents[name]
    if intent.go:
        run.enter(intent.go)
    elif intent.does is IntentDoes.REPEAT:
        _repeat(run)
    elif intent.does is IntentDoes.RESUME:
        _resume(run)
    else:
        run.say(intent.say, answer=True)
        run.ask_again()


def _repeat(run: Run) -> None:
    """The last answer again, from its start."""
    lines = tuple(line for line in run.state.speech.lines if line.interruptible)
    if lines:
        run.say_lines(lines)
    else:
        run.ask_again()


def _resume(run: Run) -> None:
    """The unheard rest of what was cut; the open question where there is none."""
    rest = run.state.rest
    run.set(rest=())
    if rest:
        run.say_lines(rest)
    else:
        run.ask_again()


# --- keys, silence, transfers ----------------------------------------------------------------------------------------


def _key(run: Run, digit: str) -> None:
    slot = run.slot
    if run.state.confirming or run.node.kind is StateKind.CONFIRM or (slot and slot.kind is SlotKind.YES_NO):
        if digit in (YES_KEY, NO_KEY):
            _answered(run, digit == YES_KEY)
            return
    elif slot is not None and slot.kind is SlotKind.DIGITS:
        _number_key(run, slot, digit)
        return
    intent = run.flow.key_intents(run.state.at).get(digit)
    if intent is not None:
        run.note("intent", {"name": intent, "key": digit})
        run.set(misses=0, guess="")
        _do_intent(run, intent)
    elif digit == "*":
        _repeat(run)
    elif run.node.kind is not StateKind.TOOL and run.node.kind not in _LEAVING:
        run.miss(run.flow.spec.repairs.not_understood)


def _number_key(run: Run, slot: SlotSpec, digit: str) -> None:
    """A key of a number: ``#`` ends it, ``*`` clears it, the last digit completes it."""
    if digit == "*":
        run.set(keys="", partial="")
        run.say(slot.again or slot.prompt)
        return
    keys = run.state.keys if digit == "#" else run.state.keys + digit
    run.set(keys=keys, partial="")
    if digit != "#" and (slot.length is None or len(keys) < slot.length):
        return
    found = check_digits(slot, keys) if keys else SlotReading(reading=Reading.NOTHING)
    if found.reading is Reading.VALUE:
        run.accept(slot, found.value)
    elif found.reading is Reading.NOTHING:
        run.ask_again()
    else:
        run.set(keys="")
        run.refuse(slot, found.reading)


def _silent(run: Run) -> None:
    """Nobody speaks: ask once, offer another way, give up. While we owe the caller a result the silence is ours."""
    repairs = run.flow.spec.repairs
    if run.state.waiting:
        run.say(repairs.still_working)
        return
    if run.node.kind in _LEAVING:
        return  # a transfer may ring for a while
    silences = run.state.silences + 1
    run.set(silences=silences)
    run.note("silence", silences)
    if silences == 1:
        run.say(repairs.still_there)
        if not run.state.keys:
            run.ask_again()
    elif silences == 2:
        run.another_way()
    else:
        run.say(repairs.silent_goodbye)
        run.end(Hangup(reason=SILENT_GOODBYE))


def _transfer_failed(run: Run, given: TransferFailed) -> None:
    run.note("transfer_failed", {"status": given.status, "reason": given.reason})
    failed = run.node.failed
    run.say(failed.say if failed and failed.say else run.flow.spec.repairs.failed)
    run.enter(failed.go if failed and failed.go else run.flow.spec.start)
