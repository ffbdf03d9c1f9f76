"""Expectations: what is expected and comes, and nothing else."""

from __future__ import annotations

import asyncio
import threading

import pytest

from etcd_watcher import Event, Watcher
from etcd_watcher.errors import ConnectionFailed, ExpectationFailed, WatcherClosed
from etcd_watcher.expect import any_order, changed, deleted, expired, put
from tests.expect.failing import SOON, failure
from tests.fake_store import PATIENCE, FakeStore, event


def expire(store: FakeStore, key: str) -> None:
    with store.changed:
        store.now += 1
        store.transactions.append([event(store.now, key, None)._replace(expired=True)])
        store.changed.notify_all()


def revisions(events: list[Event]) -> list[int]:
    return [each.revision for each in events]


# What comes as expected.


def test_it_does_not_matter_whether_it_comes_before_or_after_the_call(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("a", "1"))
    watcher.sync()
    assert revisions(watcher.expect(put("a", "1"))) == [2]
    threading.Timer(0.01, lambda: store.commit(("a", "2"))).start()
    assert revisions(watcher.expect(put("a", "2"))) == [3]


def test_steps_come_in_their_order_with_others_in_between(
    store: FakeStore, watcher: Watcher
) -> None:
    for change in [("a", "1"), ("b", "1"), ("a", None), ("c", "1"), ("b", None)]:
        store.commit(change)
    assert revisions(watcher.expect(put("a"), deleted("a"), deleted("b"))) == [2, 4, 6]


def test_several_may_come_in_any_order(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("b", "1"))
    store.commit(("a", "1"), ("c", None))
    store.commit(("d", "1"))
    found = watcher.expect(any_order(put("a"), put("b"), deleted("c")), put("d"))
    assert [each.key for each in found] == ["a", "b", "c", "d"]


def test_in_any_order_each_event_is_taken_for_what_leaves_most_of_them_right(
    store: FakeStore, watcher: Watcher
) -> None:
    for value in ("1", "2", "3"):
        store.commit(("a", value))
    step = any_order(changed("a"), put("a", "1"), put("a", lambda value: value < "3"))
    assert [each.value for each in watcher.expect(step)] == ["3", "1", "2"]


def test_each_word_means_its_kind(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"))
    store.commit(("a", None))
    expire(store, "a")
    watcher.expect(put("a"), deleted("a"), expired("a"), nothing_else=True)
    assert revisions(watcher.expect(changed("a"), changed("a"), changed("a"), since=1)) == [2, 3, 4]


def test_a_value_may_be_bytes_or_a_condition_and_so_may_the_event(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("a", b"\xff"))
    store.commit(("a", "42"))
    watcher.expect(put("a", b"\xff"), put("a", str.isdigit, where=lambda event: event.version == 1))
    watcher.expect(put(b"a", "\udcff"), since=1)


def test_a_prefix_stands_for_every_key_that_begins_so(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("news", "1"))
    store.commit(("news/a", "1"))
    assert revisions(watcher.expect(put("news/", prefix=True))) == [3]


def test_a_key_that_nobody_watches_is_watched_for_the_call(store: FakeStore) -> None:
    with Watcher(store, request_timeout=PATIENCE) as watcher:
        timer = threading.Timer(0, lambda: (store.watch_number(1), store.commit(("a", "1"))))
        timer.start()
        assert revisions(watcher.expect(put("a"))) == [2]
        assert watcher.keys == []
        timer.join()


def test_each_key_goes_on_behind_what_was_last_expected_of_it(
    store: FakeStore, watcher: Watcher
) -> None:
    for change in [("a", "1"), ("b", "1"), ("a", "2"), ("b", "2")]:
        store.commit(change)
    assert revisions(watcher.expect(put("a"), put("a"))) == [2, 4]
    assert revisions(watcher.expect(put("b"))) == [3]
    assert watcher.wait_for("b").revision == 5
    with pytest.raises(ExpectationFailed):
        watcher.expect(put("b"), within=SOON)
    assert revisions(watcher.expect(put("b"), since=3)) == [3]


def test_a_failure_changes_nothing(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("a", "1"))
    failure(watcher, put("a"), put("a"))
    assert revisions(watcher.expect(put("a"))) == [2]


def test_callbacks_of_what_was_expected_have_returned(store: FakeStore, watcher: Watcher) -> None:
    told: list[int] = []
    watcher.on("a")(lambda event: told.append(event.revision))
    store.commit(("a", "1"))
    watcher.expect(put("a"))
    assert told == [2]


def test_it_can_be_awaited(store: FakeStore, watcher: Watcher) -> None:
    async def main() -> list[Event]:
        waiting = asyncio.ensure_future(watcher.expect_async(put("a"), nothing_else="a"))
        await asyncio.sleep(0)
        store.commit(("a", "1"))
        return await waiting

    assert revisions(asyncio.run(main())) == [2]


# Nothing else.


def test_nothing_else_holds_all_that_came_since_the_last_expectation(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("a", "1"))
    store.commit(("b", "1"))
    watcher.expect(put("b"))
    watcher.expect(nothing_else=True)
    store.commit(("c", "1"))
    assert revisions(watcher.expect(put("c"), nothing_else=True)) == [4]


def test_nothing_else_may_be_said_of_some_keys(store: FakeStore, watcher: Watcher) -> None:
    store.commit(("other", "1"))
    store.commit(("news/a", "1"))
    store.commit(("other", "2"))
    watcher.expect(put("news/a"), nothing_else="news/")
    watcher.expect(nothing_else=["sport/", b"w"], since=1)


def test_nothing_else_looks_at_all_that_was_committed_before_it_ends(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("a", "1"))
    watcher.sync()
    store.before("revision", lambda: store.commit(("b", "1")))
    with pytest.raises(ExpectationFailed, match="this did: put 'b'"):
        watcher.expect(put("a"), nothing_else=True)


def test_where_nothing_else_may_come_the_first_other_event_is_the_end(
    store: FakeStore, watcher: Watcher
) -> None:
    store.commit(("b", "1"))
    with pytest.raises(ExpectationFailed, match="was to be put 'a', and something else came"):
        watcher.expect(put("a"), nothing_else=True, within=PATIENCE * 10)


# What else may end it.


def test_a_watcher_that_is_closed_meanwhile_ends_it(watcher: Watcher) -> None:
    threading.Timer(0.02, watcher.close).start()
    with pytest.raises(WatcherClosed):
        watcher.expect(put("a"), within=PATIENCE)


def test_a_server_that_is_away_is_no_failed_expectation(store: FakeStore, watcher: Watcher) -> None:
    store.fail_next("revision", *[ConnectionFailed("away")] * 1000)
    with pytest.raises(TimeoutError, match="away"):
        watcher.expect(nothing_else=True, within=0.05)
