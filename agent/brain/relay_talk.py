"""What a call says and hears through a ConversationRelay server, as a machine in time. Pure.

An interruption is told to the server when it is known to be one: until the caller's words come, or the turn ends, it
may be a false alarm, and what the server sends meanwhile is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from agent.brain import relay_messages as wire
from agent.brain.clauses import ClauseCutter
from agent.brain.protocol import Action, DropFillers, Hangup, Note, Say, SendDtmf, Transfer

MOST_BAD_MESSAGES: Final = 20
"""A server that sends more of them speaks something else."""
MOST_MESSAGES: Final = 5000
"""Messages in a row without a word of the caller; more are no conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayRules:
    """Times and texts, see ``agent.relay``."""

    filler: str
    filler_after_s: float
    fallback: str
    first_token_s: float
    most_words: int
    give_up: str
    give_up_target: str
    handoff_target: str


@dataclass(slots=True)
class Outcome:
    """What is to be done: at the call, and on the socket."""

    actions: list[Action] = field(default_factory=list)
    send: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Cut:
    """An interruption that may still be a false alarm."""

    heard: str
    after_ms: int
    rest: list[Action]


class RelayTalk:
    """One call."""

    def __init__(self, rules: RelayRules, *, language: str) -> None:
        self._rules = rules
        self._language = language
        self._cutter = ClauseCutter()
        self._cycle: wire.Text | None = None
        """Last token of the talk cycle that is being received."""
        self._was_preemptible = False
        self._is_dropping = False
        """The rest of a talk cycle that was interrupted."""
        self._cut: _Cut | None = None
        self._heard: list[str] = []
        self._given: list[Say] = []
        self._spoke_at: float | None = None
        self._words = 0
        self._asked_at: float | None = None
        self._has_filler = False
        self._unanswered = ""
        self._bad = 0
        self._messages = 0
        self._is_over = False

    # --- from the call ---

    def prompt(self, text: str, *, now: float) -> Outcome:
        """The caller's turn is over."""
        outcome = self._interrupt()
        message = wire.prompt(text, self._language, last=True)
        self._ask(message, now)
        outcome.send.append(message)
        return outcome

    def key(self, digit: str, *, now: float) -> Outcome:
        """A key; it is no question, so nothing is waited for."""
        self._words = 0
        return Outcome(send=[wire.dtmf(digit)])

    def partial(self, text: str) -> Outcome:
        """Words of a turn that goes on: an interruption is one."""
        outcome = self._interrupt()
        outcome.send.append(wire.prompt(text, self._language, last=False))
        return outcome

    def took_floor(self) -> Outcome:
        """As ``partial``, where the words are not told."""
        return self._interrupt()

    def speaking(self, *, now: float) -> None:
        if self._spoke_at is None:
            self._spoke_at = now

    def heard(self, text: str) -> None:
        words = text.split()
        for index, say in enumerate(self._given):
            if words and say.text.split()[: len(words)] == words:
                self._heard.append(text)
                self._given = self._given[index + 1 :]
                return  # anything else is no text of the server's

    def interrupted(self, heard: str, *, now: float) -> None:
        """The caller took the floor; what was given and not heard may be wanted again."""
        after_ms = 0 if self._spoke_at is None else round((now - self._spoke_at) * 1000)
        text = " ".join([*self._heard, *([heard] if heard else [])])
        self._cut = _Cut(text, after_ms, list(self._given))
        self._given = []

    def go_on(self) -> list[Action]:
        """It was a false alarm: the unheard rest, and what came meanwhile."""
        cut, self._cut = self._cut, None
        actions = cut.rest if cut is not None else []
        self._given += [action for action in actions if isinstance(action, Say)]
        return actions

    # --- from the server ---

    def receive(self, text: str, *, now: float) -> Outcome:
        """One message."""
        if self._is_over:
            return Outcome()
        self._messages += 1
        if self._messages > MOST_MESSAGES:
            return self.failed("babbles")
        try:
            message = wire.parse(text)
        except wire.BadMessage as wrong:
            self._bad += 1
            note = Note(key="relay_bad_message", value=str(wrong))
            if self._bad > MOST_BAD_MESSAGES:
                return self.failed("speaks another protocol")
            return Outcome(actions=[note], send=[wire.error(f"Invalid message: {wrong}")])
        match message:
            case wire.Text():
                return Outcome(actions=self._hold(self._text(message)))
            case wire.Play():
                told = wire.error("play is not supported here: send text")
                return Outcome(actions=[Note(key="relay_play_refused", value=message.source)], send=[told])
            case wire.SendDigits():
                return Outcome(actions=self._hold([SendDtmf(digits=message.digits)]))
            case wire.Language():
                return Outcome(actions=[Note(key="relay_language", value=message.tts or message.transcription)])
            case wire.End():
                return Outcome(actions=self._end(message))

    def connected(self, *, now: float) -> list[str]:
        """The socket is there (again): what the server has not answered is asked again."""
        if not self._unanswered:
            return []
        self._asked_at = now
        return [self._unanswered]

    def disconnected(self) -> None:
        """What it was saying ends where it is; the rest of the talk cycle never comes."""
        self._cutter, self._cycle, self._is_dropping = ClauseCutter(), None, False

    def failed(self, why: str, *, again: bool = False) -> Outcome:
        """The server is of no use any more. ``again``: also where the call was over already; it then ends."""
        if self._is_over and not again:
            return Outcome()
        target = "" if self._is_over else self._rules.give_up_target
        self._is_over = True
        self._asked_at = None
        actions: list[Action] = [Note(key="brain_failed", value=why)]
        if self._rules.give_up:
            actions.append(Say(text=self._rules.give_up))
        return Outcome(actions=[*actions, Transfer(target=target) if target else Hangup(reason="brain_failed")])

    # --- time ---

    def deadline(self) -> float | None:
        """When ``timer`` wants to be called."""
        if self._asked_at is None or self._is_over:
            return None
        if self._has_filler:
            return self._asked_at + self._rules.first_token_s
        return self._asked_at + self._rules.filler_after_s

    def timer(self, *, now: float) -> list[Action]:
        """The deadline has passed."""
        due = self.deadline()
        if due is None or now < due:
            return []
        if not self._has_filler:
            self._has_filler = True
            return [Say(text=self._rules.filler, filler=True)] if self._rules.filler else []
        self._asked_at, self._unanswered = None, ""
        self._is_dropping = False
        failed = Note(key="brain_failed", value="timeout")
        return [failed, *([Say(text=self._rules.fallback)] if self._rules.fallback else [])]

    # --- inside ---

    def _ask(self, message: str, now: float) -> None:
        self._unanswered, self._asked_at, self._has_filler = message, now, False
        self._is_dropping = False
        self._cutter, self._cycle, self._words, self._messages = ClauseCutter(), None, 0, 0
        self._heard, self._spoke_at, self._given = [], None, []

    def _interrupt(self) -> Outcome:
        cut, self._cut = self._cut, None
        if cut is None:
            return Outcome()
        self._is_dropping = self._cycle is not None
        self._cutter, self._cycle = ClauseCutter(), None
        self._heard, self._spoke_at = [], None
        return Outcome(send=[wire.interrupt(cut.heard, cut.after_ms)])

    def _hold(self, actions: list[Action]) -> list[Action]:
        if self._cut is None:
            self._given += [action for action in actions if isinstance(action, Say)]
            return actions
        self._cut.rest += actions
        return []

    def _text(self, message: wire.Text) -> list[Action]:
        self._asked_at, self._unanswered = None, ""
        if self._is_dropping:
            self._is_dropping = not message.last
            return []
        if self._words >= self._rules.most_words:
            return []
        actions: list[Action] = []
        if self._cycle is None and self._was_preemptible:
            actions.append(DropFillers())
        actions += self._says(self._cutter.feed(message.token), message)
        if message.last:
            actions += self._says([self._cutter.rest()], message)
            self._cutter, self._cycle, self._was_preemptible = ClauseCutter(), None, message.preemptible
        else:
            self._cycle = message
        return actions

    def _says(self, texts: Sequence[str], message: wire.Text) -> list[Action]:
        actions: list[Action] = []
        for text in texts:
            if not text:
                continue
            self._words += len(text.split())
            actions.append(Say(text=text, interruptible=message.interruptible, filler=message.preemptible))
            if self._words >= self._rules.most_words:
                actions.append(Note(key="relay_babbles", value=self._words))
                break
        return actions

    def _end(self, message: wire.End) -> list[Action]:
        self._is_over = True
        self._asked_at = None
        actions: list[Action] = []
        if self._cycle is not None:
            actions += self._says([self._cutter.rest()], replace(self._cycle, last=True))
        if message.handoff:
            actions.append(Note(key="handoff", value=message.handoff[:4096]))
            if self._rules.handoff_target:
                return [*actions, Transfer(target=self._rules.handoff_target)]
        return [*actions, Hangup(reason="relay_end")]
