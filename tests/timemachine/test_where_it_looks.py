"""Where the keys of the past are found: in the journal, or at the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from etcd_watcher import Compacted, Recording, Watcher
from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.event import Gap
from tests.fake_store import PATIENCE, FakeStore, event


def test_the_journal_answers_without_asking_again(store: FakeStore, watcher: Watcher) -> None:
    watcher.add_key("a")
    for value in "123456789":
        store.commit(("a", value))
    watcher.sync()
    watcher.at(5)
    asked = store.calls["snapshot"]
    assert [watcher.at(revision)["a"] for revision in range(2, 11)] == list("123456789")
    assert store.calls["snapshot"] == asked == 1


def test_what_happens_meanwhile_counts(store: FakeStore, watcher: Watcher) -> None:
    watcher.add_key("a")
    for value in "123":
        revision = store.commit(("a", value))
        watcher.sync()
        assert watcher.at(revision) == {"a": value}
    assert [dict(watcher.at(revision)) for revision in (1, 2, 4)] == [{}, {"a": "1"}, {"a": "3"}]


def test_a_revision_that_the_feed_has_not_reached_is_asked_for(
    store: FakeStore, watcher: Watcher
) -> None:
    watcher.add_key("a")
    store.watch_number(1).hold()
    assert watcher.at(store.commit(("a", "1"))) == {"a": "1"}


def test_what_was_there_before_the_watch_is_there(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "old"), ("b", "old"))
    watcher.add_key(["a", "b"])
    store.commit(("a", "new"))
    watcher.sync()
    assert watcher.at(2) == {"a": "old", "b": "old"}
    assert watcher.at(3) == {"a": "new", "b": "old"}
    assert [each.revision for each in watcher.at(2).entries] == [2, 2]


def with_prev(store: FakeStore, key: str, value: str | None, prev: bytes | None) -> int:
    with store.changed:
        store.now += 1
        change = event(store.now, key, value, prev=prev)
        store.transactions.append(
            [change._replace(created=1 if prev and value else change.created)]
        )
        store.changed.notify_all()
        return store.now


def test_of_what_the_server_has_forgotten_the_value_before_is_known(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("a", "old"), ("b", "old"))
    watcher.add_key(["a", "b"])
    with_prev(store, "a", "new", b"old")
    with_prev(store, "b", None, b"old")
    watcher.sync()
    store.compact(4)
    moment = watcher.at(2)
    assert moment == {"a": "old", "b": "old"}
    assert [each.revision for each in moment.entries] == [0, 0]
    assert watcher.at(3) == {"a": "new", "b": "old"}


def test_a_value_that_nobody_knows_is_no_empty_one(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "old"))
    watcher.add_key("a")
    with_prev(store, "a", None, None)
    watcher.sync()
    store.compact(3)
    with pytest.raises(Compacted) as caught:
        watcher.at(2)
    assert caught.value.revision == 3
    assert watcher.at(3) == {}


def test_what_the_journal_has_forgotten_is_asked_for(store: FakeStore) -> None:
    with Watcher(store, request_timeout=PATIENCE, journal_events=10) as watcher:
        watcher.add_key("a")
        for number in range(100):
            store.commit(("a", f"{number}"))
            if number % 7 == 0:
                watcher.sync()
                watcher.at(store.now)
        watcher.sync()
        assert [watcher.at(revision)["a"] for revision in range(2, 102)] == [
            f"{number}" for number in range(100)
        ]
        store.compact(101)
        assert watcher.at(95) == {"a": "93"}
        with pytest.raises(Compacted) as caught:
            watcher.at(50)
        assert caught.value.revision == 91


def test_over_a_gap_the_journal_is_not_believed(store: FakeStore, watcher: Watcher) -> None:
    watcher.add_key("a")
    store.commit(("a", "1"))
    watcher.sync()
    watcher.at(2)
    store.watch_number(1).hold()
    store.commit(("a", "2"))
    store.commit(("b", "x"))
    store.commit(("a", "3"))
    store.compact(5)
    store.watch_number(1).hold(held=False)
    store.commit(("a", "4"))
    watcher.sync()
    assert any(isinstance(each, Gap) for each in watcher.journal)
    assert [dict(watcher.at(each)) for each in (5, 6)] == [{"a": "3"}, {"a": "4"}]
    for revision in (2, 3):
        with pytest.raises(Compacted):
            watcher.at(revision)


def test_while_it_was_not_watched_the_journal_is_not_believed(
    store: FakeStore, watcher: Watcher
) -> None:
    watcher.add_key("", prefix=True)
    store.commit(("a", "1"))
    watcher.sync()
    assert watcher.at(2) == {"a": "1"}
    watcher.remove_key("")
    store.commit(("a", "2"))
    watcher.add_key("", prefix=True)
    store.commit(("b", "1"))
    watcher.sync()
    assert [dict(watcher.at(each)) for each in (2, 3, 4)] == [
        {"a": "1"},
        {"a": "2"},
        {"a": "2", "b": "1"},
    ]


def test_without_a_server_the_journal_will_do(store: FakeStore, watcher: Watcher) -> None:
    watcher.add_key("a")
    for value in "123":
        store.commit(("a", value))
    watcher.sync()
    watcher.at(4)
    store.fail_next("snapshot", *[ConnectionFailed("away")] * 9)
    assert watcher.at(3) == {"a": "2"}
    with pytest.raises(ConnectionFailed):
        watcher.at(3, "b")


# A recording has a past, too.


def test_the_past_of_a_replay_is_that_of_its_recording(
    store: FakeStore, watcher: Watcher, tmp_path: Path
) -> None:
    watcher.add_key("", prefix=True)
    with watcher.record(tmp_path / "lesson.jsonl"):
        for change in [("a", "1"), ("b", "1"), ("a", None), ("b", "2")]:
            store.commit(change)
    with Watcher(Recording(tmp_path / "lesson.jsonl"), speed="max") as replay:
        replay.add_key("", prefix=True)
        replay.sync()
        for revision in range(1, 6):
            assert replay.at(revision) == watcher.at(revision)
        assert replay.history("a").values == ["1", None]
        replay.replay.seek(3)
        replay.sync()
        assert replay.at(3) == watcher.at(3)
        with pytest.raises(ValueError, match="yet to come"):
            replay.at(4)
