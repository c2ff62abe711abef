"""API keys: made once, kept as a hash, revoked at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.gate import MOST_FAILURES, Failures, is_loopback
from agent.api.keys import SCOPES, KeyFile, KeyRefused, is_well_formed, new_key
from agent.files import FileDamaged
from agent.key_commands import create_key, list_keys, revoke_key, table


def test_key_is_found_by_its_text_and_kept_without_it(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path)
    record, key = keys.create("ops", tenant="*", scopes=["calls:read"], now=1.0)
    found = keys.find(key, now=2.0)
    assert found is not None
    assert (found.name, found.tenant, found.scopes, found.is_operator) == ("ops", "*", {"calls:read"}, True)
    assert key not in (tmp_path / "keys.json").read_text()
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0
    assert record.last4 == key[-4:]


def test_change_by_another_process_is_seen_at_once(tmp_path: Path) -> None:
    serving, commanding = KeyFile(tmp_path), KeyFile(tmp_path)
    assert not serving.any_live
    record, key = commanding.create("ops", tenant="acme", scopes=SCOPES, now=1.0)
    assert serving.any_live
    assert serving.find(key, now=1.0) is not None
    commanding.revoke(record.key_id, now=2.0)
    assert serving.find(key, now=3.0) is None
    assert not serving.any_live


def test_expired_key_opens_nothing_and_keeps_the_door_shut(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path)
    _, key = keys.create("ops", tenant="*", scopes=SCOPES, now=1.0, expires_at=10.0)
    assert keys.find(key, now=9.0) is not None
    assert keys.find(key, now=10.0) is None
    assert keys.any_live


def test_mistyped_key_is_known_without_looking() -> None:
    key = new_key()
    assert is_well_formed(key)
    assert not is_well_formed(key[:-1] + ("0" if key[-1] != "0" else "1"))
    assert not is_well_formed("é" * 20)
    assert not is_well_formed("")


def test_unknown_scope_and_unknown_key_are_refused(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path)
    with pytest.raises(KeyRefused, match="'calls:all' is unknown"):
        keys.create("x", tenant="*", scopes=["calls:all"], now=1.0)
    with pytest.raises(KeyRefused, match="no key nope"):
        keys.revoke("nope", now=1.0)


def test_damaged_file_is_no_open_door(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("[")
    with pytest.raises(FileDamaged):
        _ = KeyFile(tmp_path).any_live


def test_commands_show_keys_without_hash(tmp_path: Path) -> None:
    made = create_key(tmp_path, "crm", tenant="acme", scopes=(), days=1.0, now=1.0)
    (listed,) = list_keys(tmp_path, now=2.0)
    assert "hash" not in listed
    assert "key" not in listed
    assert listed["state"] == "live"
    assert list_keys(tmp_path, now=90_000.0)[0]["state"] == "expired"
    revoke_key(tmp_path, made["key_id"], now=3.0)
    assert list_keys(tmp_path, now=4.0)[0]["state"] == "revoked"
    assert "acme" in table(list_keys(tmp_path, now=4.0))
    assert "no keys" in table([])
    with pytest.raises(KeyRefused):
        create_key(tmp_path, "", tenant="*", scopes=(), days=None, now=1.0)


def test_wrong_keys_are_limited_per_address_and_forgiven() -> None:
    failures = Failures()
    for _ in range(MOST_FAILURES):
        assert failures.wait_s("1.2.3.4", now=0.0) == 0
        failures.add("1.2.3.4", now=0.0)
    assert failures.wait_s("1.2.3.4", now=0.0) > 0
    assert failures.wait_s("1.2.3.5", now=0.0) == 0
    assert failures.wait_s("1.2.3.4", now=7.0) == 0


def test_addresses_that_fail_are_forgotten_before_they_fill_memory() -> None:
    failures = Failures()
    for number in range(5000):
        failures.add(str(number), now=0.0)
    assert len(failures._levels) <= 1024


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("evil.example", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_the_world(host: str, is_it: bool) -> None:
    assert is_loopback(host) is is_it
