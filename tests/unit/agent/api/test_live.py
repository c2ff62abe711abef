"""Live events: who gets what, what is dropped, what is resumed."""

from __future__ import annotations

from agent.api.live import KEPT, MOST_WATCHERS, QUEUE_LIMIT, LiveHub, Watcher


def told(hub: LiveHub, watcher: Watcher) -> list[str]:
    return [line.decode() for line in hub.lines(watcher)]


def test_watcher_gets_what_it_asked_for() -> None:
    hub = LiveHub(life="l")
    watcher = Watcher(tenant="acme", call_id="c1", kinds=frozenset(["floor"]))
    assert hub.join(watcher)
    hub.publish("c1", "acme", "floor", 20, {"after": "agent"})
    hub.publish("c1", "acme", "words", 20, {})
    hub.publish("c2", "acme", "floor", 20, {})
    hub.publish("c1", "other", "floor", 20, {})
    assert told(hub, watcher) == [
        'id: l-1\nevent: floor\ndata: {"call_id":"c1","at_ms":20,"data":{"after":"agent"}}\n\n'
    ]


def test_watcher_that_does_not_read_loses_the_oldest_and_is_told_how_many() -> None:
    hub = LiveHub(life="l")
    watcher = Watcher(tenant="*")
    hub.join(watcher)
    for _ in range(QUEUE_LIMIT + 3):
        hub.publish("c", "t", "words", 0, {})
    lines = told(hub, watcher)
    assert lines[0] == 'event: lost\ndata: {"count": 3}\n\n'
    assert lines[1].startswith("id: l-4\n")
    assert len(lines) == QUEUE_LIMIT + 1


def test_watcher_that_comes_back_goes_on_where_it_was() -> None:
    hub = LiveHub(life="l")
    for _ in range(5):
        hub.publish("c", "t", "words", 0, {})
    watcher = Watcher(tenant="*")
    hub.join(watcher, last_event_id="l-3")
    assert [line.split("\n")[0] for line in told(hub, watcher)] == ["id: l-4", "id: l-5"]


def test_watcher_of_an_earlier_life_or_too_long_ago_is_told_of_its_loss() -> None:
    hub = LiveHub(life="new")
    for _ in range(KEPT + 10):
        hub.publish("c", "t", "words", 0, {})
    for last in ("old-7", "garbage", "new-", "new-99999999999999999999", "-"):
        watcher = Watcher(tenant="*")
        hub.join(watcher, last_event_id=last)
        assert "event: lost" in told(hub, watcher)[0]
        hub.leave(watcher)


def test_too_many_watchers_are_refused() -> None:
    hub = LiveHub(life="l")
    watchers = [Watcher(tenant="*") for _ in range(MOST_WATCHERS + 1)]
    assert [hub.join(watcher) for watcher in watchers] == [True] * MOST_WATCHERS + [False]
    hub.leave(watchers[0])
    assert hub.join(watchers[-1])


def test_text_with_line_feeds_cannot_leave_its_line() -> None:
    hub = LiveHub(life="l")
    watcher = Watcher(tenant="*")
    hub.join(watcher)
    hub.publish("c", "t", "words", 0, {"text": "a\n\nevent: forged\n\n"})
    assert told(hub, watcher)[0].count("\n") == 4
