from __future__ import annotations

from telephony.rtp.latch import Latch

SDP, SIGNALLING = ("192.0.2.10", 4000), "198.51.100.1"
NAT = (SIGNALLING, 62000)
ATTACKER = ("203.0.113.66", 4000)


def latch() -> Latch:
    return Latch(SDP, SIGNALLING, 0.0)


def test_the_address_in_sdp_is_locked_at_its_first_packet() -> None:
    one = latch()
    assert one.offer(SDP, 20.0, silent_s=20.0)
    assert one.locked == one.target == SDP


def test_a_peer_behind_nat_is_learnt_from_the_address_that_signals() -> None:
    one = latch()
    assert one.target == SDP, "until then we send to where SDP says"
    assert one.offer(NAT, 1.0, silent_s=1.0)
    assert one.target == NAT


def test_nobody_else_is_learnt_even_at_once() -> None:
    assert not latch().offer(ATTACKER, 0.01, silent_s=0.01)


def test_the_signalling_address_is_not_learnt_after_the_window() -> None:
    assert not latch().offer(NAT, 3.1, silent_s=3.1)


def test_sdp_beats_a_guess_while_learning() -> None:
    one = latch()
    one.offer(NAT, 0.5, silent_s=0.5)
    assert one.offer(SDP, 1.0, silent_s=0.01)
    assert one.locked == SDP


def test_a_talking_peer_is_not_replaced() -> None:
    one = latch()
    one.offer(SDP, 0.1, silent_s=0.1)
    assert not one.offer((SDP[0], 5000), 0.2, silent_s=0.02)
    assert not one.offer(NAT, 10.0, silent_s=5.0)
    assert one.locked == SDP


def test_a_silent_peer_may_move_to_another_port_of_its_address() -> None:
    one = latch()
    one.offer(SDP, 0.1, silent_s=0.1)
    assert one.offer((SDP[0], 5000), 10.0, silent_s=1.5)
    assert one.target == (SDP[0], 5000)


def test_a_new_address_in_sdp_opens_the_lock_and_the_same_keeps_it() -> None:
    one = latch()
    one.offer(NAT, 0.1, silent_s=0.1)
    one.renew(SDP, SIGNALLING, 30.0)
    assert one.locked == NAT
    one.renew(("192.0.2.99", 6000), SIGNALLING, 31.0)
    assert one.locked is None
    assert one.target == ("192.0.2.99", 6000)
