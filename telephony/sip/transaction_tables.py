"""The four SIP transactions as tables (RFC 3261 §17, RFC 6026).

``TABLES[kind][state, event]`` gives the next state, what to do and which timers start. A missing cell is protocol
input that changes nothing. Timers that the next state does not own (``OWNS``) stop by themselves. Pure data.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

T1_S, T2_S, T4_S = 0.5, 4.0, 5.0
"""RFC 3261 §17.1.1.1."""


class Kind(StrEnum):
    INVITE_SERVER = "invite-server"
    SERVER = "server"
    INVITE_CLIENT = "invite-client"
    CLIENT = "client"


class State(StrEnum):
    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Event(StrEnum):
    """Inputs. ``RX_`` came from the wire, ``TU_`` from the core above, a letter is an expired timer."""

    RX_REQUEST = "rx-request"
    RX_ACK = "rx-ack"
    RX_1XX = "rx-1xx"
    RX_2XX = "rx-2xx"
    RX_FINAL = "rx-3xx-6xx"
    TU_1XX = "tu-1xx"
    TU_2XX = "tu-2xx"
    TU_FINAL = "tu-3xx-6xx"
    A = "A"
    B = "B"
    D = "D"
    E = "E"
    F = "F"
    G = "G"
    H = "H"
    I = "I"  # noqa: E741 - the timer's name in the RFC
    J = "J"
    K = "K"
    L = "L"
    M = "M"


class Do(StrEnum):
    SEND = "send"
    """Send what the core gave, and keep it."""
    RESEND = "resend"
    """Send again what was kept."""
    ACK = "ack"
    """Acknowledge a failure (RFC 3261 §17.1.1.3)."""
    PASS_UP = "pass-up"
    TELL_TIMEOUT = "tell-timeout"


@dataclass(frozen=True, slots=True)
class Timer:
    """How long a timer runs, in seconds, over UDP and over a reliable transport (``None``: it never starts)."""

    udp_s: float
    reliable_s: float | None
    cap_s: float | None = None
    """For timers that repeat: the interval doubles up to here."""


TIMERS: dict[Event, Timer] = {
    Event.A: Timer(T1_S, None, 64 * T1_S),
    Event.B: Timer(64 * T1_S, 64 * T1_S),
    Event.D: Timer(64 * T1_S, 0.0),
    Event.E: Timer(T1_S, None, T2_S),
    Event.F: Timer(64 * T1_S, 64 * T1_S),
    Event.G: Timer(T1_S, None, T2_S),
    Event.H: Timer(64 * T1_S, 64 * T1_S),
    Event.I: Timer(T4_S, 0.0),
    Event.J: Timer(64 * T1_S, 0.0),
    Event.K: Timer(T4_S, 0.0),
    Event.L: Timer(64 * T1_S, 64 * T1_S),
    Event.M: Timer(64 * T1_S, 64 * T1_S),
}
"""RFC 3261 table 4 and RFC 6026 §7."""


@dataclass(frozen=True, slots=True)
class Row:
    next: State
    do: tuple[Do, ...] = ()
    start: tuple[Event, ...] = ()


Table = dict[tuple[State, Event], Row]

_INVITE_SERVER: Table = {  # RFC 3261 §17.2.1, RFC 6026 §7.1
    (State.PROCEEDING, Event.RX_REQUEST): Row(State.PROCEEDING, (Do.RESEND,)),
    (State.PROCEEDING, Event.TU_1XX): Row(State.PROCEEDING, (Do.SEND,)),
    (State.PROCEEDING, Event.TU_2XX): Row(State.ACCEPTED, (Do.SEND,), (Event.L,)),
    (State.PROCEEDING, Event.TU_FINAL): Row(State.COMPLETED, (Do.SEND,), (Event.G, Event.H)),
    (State.ACCEPTED, Event.RX_REQUEST): Row(State.ACCEPTED),
    (State.ACCEPTED, Event.RX_ACK): Row(State.ACCEPTED, (Do.PASS_UP,)),
    (State.ACCEPTED, Event.TU_2XX): Row(State.ACCEPTED, (Do.SEND,)),
    (State.ACCEPTED, Event.L): Row(State.TERMINATED),
    (State.COMPLETED, Event.RX_REQUEST): Row(State.COMPLETED, (Do.RESEND,)),
    (State.COMPLETED, Event.G): Row(State.COMPLETED, (Do.RESEND,), (Event.G,)),
    (State.COMPLETED, Event.RX_ACK): Row(State.CONFIRMED, (), (Event.I,)),
    (State.COMPLETED, Event.H): Row(State.TERMINATED, (Do.TELL_TIMEOUT,)),
    (State.CONFIRMED, Event.RX_ACK): Row(State.CONFIRMED),
    (State.CONFIRMED, Event.I): Row(State.TERMINATED),
}

_SERVER: Table = {  # RFC 3261 §17.2.2
    (State.TRYING, Event.RX_REQUEST): Row(State.TRYING),
    (State.TRYING, Event.TU_1XX): Row(State.PROCEEDING, (Do.SEND,)),
    (State.TRYING, Event.TU_2XX): Row(State.COMPLETED, (Do.SEND,), (Event.J,)),
    (State.TRYING, Event.TU_FINAL): Row(State.COMPLETED, (Do.SEND,), (Event.J,)),
    (State.PROCEEDING, Event.RX_REQUEST): Row(State.PROCEEDING, (Do.RESEND,)),
    (State.PROCEEDING, Event.TU_2XX): Row(State.COMPLETED, (Do.SEND,), (Event.J,)),
    (State.PROCEEDING, Event.TU_FINAL): Row(State.COMPLETED, (Do.SEND,), (Event.J,)),
    (State.COMPLETED, Event.RX_REQUEST): Row(State.COMPLETED, (Do.RESEND,)),
    (State.COMPLETED, Event.J): Row(State.TERMINATED),
}

_INVITE_CLIENT: Table = {  # RFC 3261 §17.1.1, RFC 6026 §7.2; the core ACKs each 2xx itself
    (State.CALLING, Event.A): Row(State.CALLING, (Do.RESEND,), (Event.A,)),
    (State.CALLING, Event.B): Row(State.TERMINATED, (Do.TELL_TIMEOUT,)),
    (State.CALLING, Event.RX_1XX): Row(State.PROCEEDING, (Do.PASS_UP,)),
    (State.CALLING, Event.RX_2XX): Row(State.ACCEPTED, (Do.PASS_UP,), (Event.M,)),
    (State.CALLING, Event.RX_FINAL): Row(State.COMPLETED, (Do.ACK, Do.PASS_UP), (Event.D,)),
    (State.PROCEEDING, Event.RX_1XX): Row(State.PROCEEDING, (Do.PASS_UP,)),
    (State.PROCEEDING, Event.RX_2XX): Row(State.ACCEPTED, (Do.PASS_UP,), (Event.M,)),
    (State.PROCEEDING, Event.RX_FINAL): Row(State.COMPLETED, (Do.ACK, Do.PASS_UP), (Event.D,)),
    (State.ACCEPTED, Event.RX_2XX): Row(State.ACCEPTED, (Do.PASS_UP,)),
    (State.ACCEPTED, Event.M): Row(State.TERMINATED),
    (State.COMPLETED, Event.RX_FINAL): Row(State.COMPLETED, (Do.ACK,)),
    (State.COMPLETED, Event.D): Row(State.TERMINATED),
}

_CLIENT: Table = {  # RFC 3261 §17.1.2
    (State.TRYING, Event.E): Row(State.TRYING, (Do.RESEND,), (Event.E,)),
    (State.TRYING, Event.F): Row(State.TERMINATED, (Do.TELL_TIMEOUT,)),
    (State.TRYING, Event.RX_1XX): Row(State.PROCEEDING, (Do.PASS_UP,)),
    (State.TRYING, Event.RX_2XX): Row(State.COMPLETED, (Do.PASS_UP,), (Event.K,)),
    (State.TRYING, Event.RX_FINAL): Row(State.COMPLETED, (Do.PASS_UP,), (Event.K,)),
    (State.PROCEEDING, Event.E): Row(State.PROCEEDING, (Do.RESEND,), (Event.E,)),
    (State.PROCEEDING, Event.F): Row(State.TERMINATED, (Do.TELL_TIMEOUT,)),
    (State.PROCEEDING, Event.RX_1XX): Row(State.PROCEEDING, (Do.PASS_UP,)),
    (State.PROCEEDING, Event.RX_2XX): Row(State.COMPLETED, (Do.PASS_UP,), (Event.K,)),
    (State.PROCEEDING, Event.RX_FINAL): Row(State.COMPLETED, (Do.PASS_UP,), (Event.K,)),
    (State.COMPLETED, Event.K): Row(State.TERMINATED),
}

TABLES: dict[Kind, Table] = {
    Kind.INVITE_SERVER: _INVITE_SERVER,
    Kind.SERVER: _SERVER,
    Kind.INVITE_CLIENT: _INVITE_CLIENT,
    Kind.CLIENT: _CLIENT,
}

START: dict[Kind, tuple[State, tuple[Event, ...]]] = {
    Kind.INVITE_SERVER: (State.PROCEEDING, ()),
    Kind.SERVER: (State.TRYING, ()),
    Kind.INVITE_CLIENT: (State.CALLING, (Event.A, Event.B)),
    Kind.CLIENT: (State.TRYING, (Event.E, Event.F)),
}
"""First state and the timers that start with it."""

OWNS: dict[Kind, dict[State, frozenset[Event]]] = {
    Kind.INVITE_SERVER: {
        State.ACCEPTED: frozenset({Event.L}),
        State.COMPLETED: frozenset({Event.G, Event.H}),
        State.CONFIRMED: frozenset({Event.I}),
    },
    Kind.SERVER: {State.COMPLETED: frozenset({Event.J})},
    Kind.INVITE_CLIENT: {
        State.CALLING: frozenset({Event.A, Event.B}),
        State.ACCEPTED: frozenset({Event.M}),
        State.COMPLETED: frozenset({Event.D}),
    },
    Kind.CLIENT: {
        State.TRYING: frozenset({Event.E, Event.F}),
        State.PROCEEDING: frozenset({Event.E, Event.F}),
        State.COMPLETED: frozenset({Event.K}),
    },
}
"""Timers that may run in a state; all others stop on entry."""
