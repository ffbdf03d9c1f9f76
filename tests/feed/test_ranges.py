"""Which keys are watched: by one watch, extended where it stands, and never told of another range."""

from __future__ import annotations

import threading

from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import Batch
from tests.fake_store import PATIENCE, FakeWatch, event
from tests.feed.core import A, B, C, Core, batch_of


def test_a_change_behind_the_call_that_asked_for_the_key_is_told(core: Core) -> None:
    core.cover(A)
    core.store.commit(("a", "1"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1")]


def test_changes_before_the_call_are_not_told(core: Core) -> None:
    core.store.commit(("a", "old"))
    core.cover(A)
    core.store.commit(("a", "new"))
    core.wait_complete()
    assert core.told() == [(3, "a", "new")]


def test_asking_for_a_key_returns_only_once_the_server_has_acknowledged_it(core: Core) -> None:
    core.store.silent = True
    asking = threading.Thread(target=core.cover, args=(A,))
    asking.start()
    core.store.wait_until(lambda: core.store.watches and core.store.watches[0].reads)
    assert asking.is_alive()
    core.store.speak()
    asking.join(PATIENCE)
    assert not asking.is_alive()


def test_one_thread_and_one_watch_serve_all_keys(core: Core) -> None:
    for number in range(20):
        core.cover(KeyRange.of_key(b"key-%d" % number))
    assert len(core.store.watches) == 1
    assert core.store.watches[0].scope.covers(KeyRange.of_key(b"key-19"))
    assert sum(each.name == "etcd_watcher-feed" for each in threading.enumerate()) == 1


def test_what_lies_in_the_range_by_accident_is_not_told(core: Core) -> None:
    core.cover(A, C)
    core.store.commit(("a", "1"))
    core.store.commit(("b", "1"))
    core.store.commit(("b", "2"), ("c", "2"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1"), (4, "c", "2")]


def test_a_key_within_what_is_watched_needs_no_word_with_the_server(core: Core) -> None:
    core.cover(A, C)
    core.cover(B)
    assert len(core.store.watches[0].targets) == 1
    core.store.commit(("b", "1"))
    core.wait_complete()
    assert core.told() == [(2, "b", "1")]


def test_a_key_beyond_what_is_watched_extends_the_watch_where_it_stands(core: Core) -> None:
    core.cover(A)
    core.store.commit(("a", "1"))
    core.wait_complete()
    core.cover(C)
    assert core.store.watches[0].targets == [(A, 1), (KeyRange(b"a", b"c\0"), 2)]
    core.store.commit(("a", "2"), ("c", "2"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1"), (3, "a", "2"), (3, "c", "2")]


def test_several_threads_may_ask_at_once(core: Core) -> None:
    scopes = [KeyRange.of_key(b"key-%02d" % number) for number in range(30)]
    threads = [threading.Thread(target=core.cover, args=(scope,)) for scope in scopes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    core.store.commit(*[(scope.start, "v") for scope in scopes])
    core.wait_complete()
    assert [key for _, key, _ in core.told()] == [scope.start.decode() for scope in scopes]


def test_watching_less_goes_on_where_it_stands(core: Core) -> None:
    core.cover(A, C)
    core.store.commit(("a", "1"))
    core.wait_complete()
    core.feed.narrow(A)
    core.store.watch_number(1)
    core.store.commit(("a", "2"))
    core.store.commit(("c", "2"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1"), (3, "a", "2")]
    assert core.feed.scope == A


def test_watching_nothing_ends_the_watch_and_everything_is_complete(core: Core) -> None:
    core.cover(A)
    core.feed.narrow(None)
    core.store.wait_until(lambda: core.store.watches[0].closed)
    core.store.commit(("a", "1"))
    assert core.feed.wait_complete(core.store.now, 0.0)
    core.cover(A)
    core.store.commit(("a", "2"))
    core.wait_complete()
    assert core.told() == [(3, "a", "2")]
    assert len(core.store.watches) == 2


def test_narrowing_to_what_is_watched_already_does_nothing(core: Core) -> None:
    core.cover(A)
    core.feed.narrow(KeyRange.of_key(b"a"))
    assert len(core.store.watches[0].targets) == 1


def pushed_and_taken(core: Core, watch: FakeWatch, batch: Batch) -> None:
    """Have the feed take a batch to the end."""
    reads = watch.reads
    watch.push(batch)
    core.store.wait_until(lambda: watch.reads > reads, "the next read")


def test_a_batch_of_a_range_that_was_replaced_is_dropped_whole(core: Core) -> None:
    core.cover(A)
    watch = core.store.watch_number(1)
    old = batch_of(watch, 5, 6)
    core.cover(C)
    pushed_and_taken(core, watch, old)
    assert core.told() == []
    assert core.feed.revision == 1
    pushed_and_taken(core, watch, batch_of(watch, 7))
    assert [revision for revision, _, _ in core.told()] == [7]


def test_ranges_are_told_apart_by_being_the_same_object_not_by_being_equal(core: Core) -> None:
    core.cover(A)
    watch = core.store.watch_number(1)
    pushed_and_taken(core, watch, Batch(KeyRange(A.start, A.end), [event(5, "a")]))
    assert core.told() == []


def test_what_was_read_and_dropped_as_the_range_was_replaced_is_told_by_the_new_one(
    core: Core,
) -> None:
    core.cover(A)
    watch = core.store.watch_number(1)
    with core.demux.lock:
        core.store.commit(("a", "1"))  # read of the old range, and held up at the lock
        core.store.wait_until(lambda: watch._given == 2)
        core.feed._reach._set_scope(KeyRange(b"a", b"d"))
    core.wait_until(lambda: core.feed._reach.opened is not None)
    core.wait_complete()
    assert core.told() == [(2, "a", "1")]
    assert len(watch.targets) == 2
