"""The four tables: reachable, mortal, and each timer with its expiry row."""

from __future__ import annotations

import pytest

from telephony.sip.dialog_table import DIALOG_TABLE, DialogState
from telephony.sip.resender import Ok200Resender, ResendState
from telephony.sip.transaction import Transaction
from telephony.sip.transaction_tables import OWNS, START, TABLES, TIMERS, Do, Event, Kind, State

PEER = ("192.0.2.10", 5062)


def machine(kind: Kind, *, reliable: bool = False) -> Transaction:
    return Transaction(kind, ("k",), peer=PEER, now=0.0, first=b"first", reliable=reliable)


def run_out(transaction: Transaction, *, limit_s: float = 200.0) -> list[tuple[float, Do]]:
    """Fire every timer at its own moment."""
    fired = []
    while (at := transaction.next_deadline()) is not None and at <= limit_s:
        fired += [(at, effect.do) for effect in transaction.handle_timer(at)]
        following = transaction.next_deadline()
        assert following is None or following > at
    return fired


@pytest.mark.parametrize("kind", list(Kind))
def test_every_state_is_reachable_and_can_end(kind: Kind) -> None:
    edges: dict[State, set[State]] = {}
    for (state, _), row in TABLES[kind].items():
        edges.setdefault(state, set()).add(row.next)

    def closure(start: State) -> set[State]:
        found, todo = set(), [start]
        while todo:
            state = todo.pop()
            if state not in found:
                found.add(state)
                todo += edges.get(state, ())
        return found

    states = {state for state, _ in TABLES[kind]} | {State.TERMINATED}
    assert closure(START[kind][0]) == states
    assert all(State.TERMINATED in closure(state) for state in states)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_timer_that_runs_has_a_row_for_its_end(kind: Kind) -> None:
    for state, timers in OWNS[kind].items():
        assert all((state, timer) in TABLES[kind] for timer in timers)
    for row in TABLES[kind].values():
        assert all(timer in OWNS[kind][row.next] and timer in TIMERS for timer in row.start)


def test_unanswered_invite_is_repeated_and_times_out() -> None:
    fired = run_out(machine(Kind.INVITE_CLIENT))
    assert [at for at, do in fired if do is Do.RESEND] == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert fired[-1] == (32.0, Do.TELL_TIMEOUT)


def test_unanswered_request_is_repeated_up_to_t2() -> None:
    fired = run_out(machine(Kind.CLIENT))
    assert [at for at, do in fired if do is Do.RESEND] == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert fired[-1] == (32.0, Do.TELL_TIMEOUT)


def test_failure_is_repeated_until_its_ack() -> None:
    transaction = machine(Kind.INVITE_SERVER)
    transaction.feed(Event.TU_FINAL, 0.0, data=b"486")
    assert [at for at, _ in run_out(transaction, limit_s=4.0)] == [0.5, 1.5, 3.5]
    transaction.feed(Event.RX_ACK, 4.0)
    assert transaction.state is State.CONFIRMED
    assert run_out(transaction) == []
    assert transaction.is_over


def test_accepted_invite_stays_for_repetitions() -> None:
    transaction = machine(Kind.INVITE_SERVER)
    transaction.feed(Event.TU_2XX, 0.0, data=b"200")
    assert transaction.feed(Event.RX_REQUEST, 1.0) == ()
    assert transaction.next_deadline() == 32.0
    run_out(transaction)
    assert transaction.is_over


def test_over_a_reliable_transport_nothing_is_repeated() -> None:
    transaction = machine(Kind.INVITE_CLIENT, reliable=True)
    assert run_out(transaction) == [(32.0, Do.TELL_TIMEOUT)]


def test_a_second_final_is_not_sent() -> None:
    transaction = machine(Kind.SERVER)
    transaction.feed(Event.TU_2XX, 0.0, data=b"200")
    assert transaction.feed(Event.TU_FINAL, 0.0, data=b"500") == ()


def test_2xx_is_repeated_until_the_caller_gives_up() -> None:
    resender, sent_at = Ok200Resender(b"200", PEER, cseq=1, now=0.0), []
    while (now := resender.next_deadline()) is not None:
        if resender.handle_timer(now):
            sent_at.append(now)
    assert sent_at == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert resender.state is ResendState.GAVE_UP


def test_dialogs_end_and_stay_ended() -> None:
    assert all(state is not DialogState.TERMINATED for state, _ in DIALOG_TABLE)
    assert {row for (state, _), row in DIALOG_TABLE.items() if state is DialogState.CONFIRMED} == {
        DialogState.TERMINATED
    }
