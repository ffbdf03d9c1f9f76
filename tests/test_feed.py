"""The feed's promise: every change once and in order, or a gap that says what is lost.

A store in memory stands in for etcd, so that each fault comes at its exact moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher import backoff as backoff_module
from etcd_watcher import feed as feed_module
from etcd_watcher.backoff import FIRST_BACKOFF, Backoff
from etcd_watcher.demux import Demux
from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.errors import Compacted, ConnectionFailed, RequestRejected, StoreClosed
from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.feed import Feed
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.router import Route
from etcd_watcher.stores.base import Batch
from tests.fake_store import PATIENCE, FakeStore, FakeWatch, event, interrupted

A, B, C = (KeyRange.of_key(key) for key in (b"a", b"b", b"c"))


class Core:
    """A feed with all that it feeds, and no subscriber."""

    def __init__(self, store: FakeStore, timeout: float = PATIENCE) -> None:
        self.store = store
        self.journal = Journal()
        self.pool = WorkerPool()
        self.demux = Demux(self.journal, self.pool)
        self.feed = Feed(
            store, self.demux, timeout, Backoff(len(store.endpoints), jitter=lambda: 1.0)
        )

    def cover(self, *scopes: KeyRange, timeout: float = PATIENCE) -> None:
        """Watch keys as the registry does."""
        revision = self.store.now
        with self.demux.lock:
            for scope in scopes:
                if self.demux.router.find(scope, prefix=False) is None:
                    self.demux.router.add(Route("", scope, prefix=False, start=revision))
        self.feed.cover(list(scopes), revision, timeout)

    def wait_until(self, condition: Callable[[], object], what: str = "a condition") -> None:
        """Wait for something that the feed tells of."""
        with self.feed._state:
            assert self.feed._state.wait_for(condition, PATIENCE), f"waited in vain for {what}"

    def wait_complete(self) -> None:
        assert self.feed.wait_complete(self.store.now, PATIENCE)

    def told(self) -> list[tuple[int, str, str | None]]:
        return [(each.revision, each.key, each.value) for each in self.journal.events()]

    def states(self) -> list[str]:
        return [each.state for each in self.journal if isinstance(each, Status)]

    def gaps(self) -> list[Gap]:
        return [each for each in self.journal if isinstance(each, Gap)]

    def close(self) -> None:
        self.feed.close(PATIENCE)
        self.store.close()
        self.pool.close(PATIENCE)
        thread = self.feed._readers.thread
        assert thread is None or not thread.is_alive()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def core(store: FakeStore) -> Iterator[Core]:
    core = Core(store)
    yield core
    core.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(backoff_module, "FIRST_BACKOFF", 0.001)
    monkeypatch.setattr(backoff_module, "LAST_BACKOFF", 0.002)


LOST = ConnectionFailed("the server went away")


# Watching.


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


# Batches of a range that was replaced.


def batch_of(watch: FakeWatch, *revisions: int, opened: bool = False) -> Batch:
    return Batch(watch.scope, [event(each, "a") for each in revisions], opened=opened)


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


# Going on after a loss.


@pytest.mark.usefixtures("quick")
def test_a_lost_watch_is_made_anew_behind_the_last_revision(core: Core) -> None:
    core.cover(A)
    core.store.commit(("a", "1"))
    core.store.commit(("a", "2"))
    core.wait_complete()
    first = core.store.watch_number(1)
    first.hold()
    core.store.commit(("a", "3"))
    first.push(LOST)
    assert core.store.watch_number(2).targets == [(A, 3)]
    core.wait_complete()
    assert core.told() == [(2, "a", "1"), (3, "a", "2"), (4, "a", "3")]
    assert first.closed


@pytest.mark.usefixtures("quick")
def test_a_range_that_is_asked_for_while_it_connects_is_watched_by_the_new_watch(
    core: Core,
) -> None:
    core.cover(A)
    asking = threading.Thread(target=core.cover, args=(C,))

    def ask_meanwhile() -> None:
        asking.start()
        core.wait_until(lambda: core.feed.scope is not None and b"c" in core.feed.scope)

    core.store.before("watch", ask_meanwhile)
    core.store.watch_number(1).push(LOST)
    core.store.watch_number(2)
    asking.join(PATIENCE)
    assert not asking.is_alive()
    core.store.commit(("a", "1"), ("c", "1"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1"), (2, "c", "1")]
    assert len(core.store.watches) == 2


@pytest.mark.usefixtures("quick")
def test_what_the_server_called_complete_is_not_read_again(core: Core) -> None:
    core.cover(A)
    for _ in range(5):
        core.store.commit(("b", "1"))
    core.wait_complete()
    assert core.feed.revision == 6
    core.store.watch_number(1).push(LOST)
    assert core.store.watch_number(2).targets == [(A, 6)]


@pytest.mark.usefixtures("quick")
def test_it_tries_for_as_long_as_it_takes(core: Core) -> None:
    core.cover(A)
    core.store.fail_next("watch", *[LOST] * 20)
    core.store.watch_number(1).push(LOST)
    core.store.watch_number(2)
    core.store.commit(("a", "1"))
    core.wait_complete()
    assert core.store.calls["watch"] == 22
    assert core.told() == [(2, "a", "1")]


@pytest.mark.usefixtures("quick")
def test_each_failure_turns_to_the_next_endpoint(core: Core) -> None:
    core.store.endpoints = ("http://one:1", "http://two:2", "http://three:3")
    core.cover(A)
    core.store.fail_next("watch", LOST, LOST, LOST)
    core.store.watch_number(1).push(LOST)
    core.store.watch_number(2)
    core.wait_until(lambda: core.feed.status.state == "connected")
    assert core.store.calls["rotate"] == 4
    assert core.feed.status.endpoint == "http://two:2"


@pytest.mark.usefixtures("quick")
def test_it_stays_where_a_request_has_gone_meanwhile(core: Core) -> None:
    core.store.endpoints = ("http://one:1", "http://two:2", "http://three:3")
    core.cover(A)
    core.store.rotate(0)  # a request found the first one dead
    core.store.watch_number(1).push(LOST)
    core.store.watch_number(2)
    core.wait_until(lambda: core.feed.status.state == "connected")
    assert core.feed.status.endpoint == "http://two:2"
    core.store.watch_number(2).push(LOST)
    core.store.watch_number(3)
    core.wait_until(lambda: core.feed.status.endpoint == "http://three:3")


def test_the_status_names_the_endpoint_that_was_lost(core: Core) -> None:
    core.store.endpoints = ("http://one:1", "http://two:2")
    core.cover(A)
    core.store.rotate(0)  # a request found it dead first
    core.store.silent = True
    core.store.watch_number(1).push(LOST)
    core.wait_until(lambda: core.feed.status.state == "reconnecting")
    assert core.feed.status.endpoint == "http://one:1"


def test_waits_are_jittered(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff_module, "FIRST_BACKOFF", PATIENCE)
    monkeypatch.setattr(backoff_module, "LAST_BACKOFF", PATIENCE)
    core = Core(store)
    core.feed._backoff = Backoff(1, jitter=lambda: 0.0)
    core.cover(A)
    store.fail_next("watch", LOST, LOST)
    store.watch_number(1).push(LOST)
    store.watch_number(2)
    core.close()


def test_a_server_that_drops_each_watch_that_it_has_opened_is_asked_ever_more_slowly(
    core: Core,
) -> None:
    core.cover(A)
    for number in range(1, 6):
        watch = core.store.watch_number(number)
        core.wait_until(lambda: core.feed.status.state == "connected")
        watch.push(LOST)
    core.store.watch_number(6)
    begun = core.store.opened_at
    # Waits of 1, 2, 4, 8 and 16 units, at least.
    assert begun[5] - begun[4] >= 16 * FIRST_BACKOFF
    assert begun[1] - begun[0] >= FIRST_BACKOFF


def test_it_does_wait_between_tries(core: Core) -> None:
    core.cover(A)
    core.store.fail_next("watch", LOST, LOST)
    begun = time.monotonic()
    core.store.watch_number(1).push(LOST)
    core.store.watch_number(2)
    # Before the second watch, two tries failed and the first watch had: 1 + 1 + 2 units, at least.
    assert core.store.opened_at[-1] - begun >= 3 * FIRST_BACKOFF


def test_the_status_tells_why_since_when_and_when_next(core: Core) -> None:
    assert core.feed.status == Status("connected", "http://one:2379")
    core.cover(A)
    goes_on = threading.Event()
    core.store.before("watch", lambda: goes_on.wait(PATIENCE))
    begun = time.time()
    core.store.watch_number(1).push(ConnectionFailed("in full", "in short"))
    core.wait_until(lambda: core.feed.status.state == "reconnecting")
    status = core.feed.status
    assert status.reason == "in short"
    assert begun <= status.since <= time.time()
    assert status.next_try is not None
    assert status.next_try >= status.since
    core.store.fail_next("watch", ConnectionFailed("in full", "another"))
    goes_on.set()
    core.wait_until(lambda: core.feed.status.reason == "another")
    assert core.feed.status.since == status.since  # it is the same loss
    core.wait_until(lambda: core.feed.status.state == "connected")
    assert core.feed.status.reason == ""
    assert core.feed.status.next_try is None


@pytest.mark.usefixtures("quick")
def test_the_journal_records_each_loss_and_each_return_once(core: Core) -> None:
    core.cover(A)
    core.store.commit(("a", "1"))
    core.wait_complete()
    core.store.fail_next("watch", LOST, LOST, LOST)
    core.store.watch_number(1).push(LOST)
    core.store.watch_number(2)
    core.store.commit(("a", "2"))
    core.wait_complete()
    core.feed.close()
    kinds = [each.state if isinstance(each, Status) else "event" for each in core.journal]
    assert kinds == ["event", "reconnecting", "connected", "event", "closed"]


@pytest.mark.usefixtures("quick")
def test_a_defect_on_the_way_is_logged_and_the_feed_goes_on(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    core.cover(A)
    core.store.commit(("a", "1"))
    core.wait_complete()
    core.store.watch_number(1).push(ZeroDivisionError("a defect"))
    core.store.watch_number(2)
    core.store.commit(("a", "2"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1"), (3, "a", "2")]
    assert "ZeroDivisionError: a defect" in caplog.text


# Compaction.


def lose_history(core: Core, *changes: tuple[str, str | None]) -> None:
    """Have changes made and forgotten while the connection is away."""
    watch = core.store.watch_number(len(core.store.watches))
    watch.hold()
    for change in changes:
        core.store.commit(change)
    core.store.compact(core.store.now)
    watch.push(LOST)


@pytest.mark.usefixtures("quick")
def test_lost_history_is_a_gap_followed_by_the_true_values(core: Core) -> None:
    core.cover(A, B, C)
    core.store.commit(("a", "1"), ("b", "1"), ("c", "1"))
    core.wait_complete()
    lose_history(core, ("a", "2"), ("a", "3"), ("b", None), ("x", "1"))
    core.store.wait_until(lambda: core.store.calls["snapshot"])
    core.wait_complete()
    core.store.commit(("a", "4"))
    core.wait_complete()
    records = [each for each in core.journal if not isinstance(each, Status)]
    gap = records[3]
    assert isinstance(gap, Gap)
    assert (gap.first, gap.last) == (3, 5)
    assert core.told()[3:] == [(4, "a", "3"), (6, "b", None), (7, "a", "4")]
    assert [each.synthetic for each in core.journal.events()] == [False] * 3 + [True] * 2 + [False]


@pytest.mark.usefixtures("quick")
def test_a_gap_without_a_change_of_ours_is_still_told(core: Core) -> None:
    core.cover(A)
    lose_history(core, ("x", "1"), ("x", "2"))
    core.wait_until(core.gaps)
    core.wait_complete()
    assert core.told() == []


@pytest.mark.usefixtures("quick")
def test_a_resync_that_fails_is_tried_again_and_tells_one_gap(core: Core) -> None:
    core.cover(A)
    core.store.fail_next("snapshot", LOST, Compacted(3), LOST)
    lose_history(core, ("a", "1"), ("a", "2"))
    core.wait_until(core.gaps)
    core.wait_complete()
    assert core.told() == [(3, "a", "2")]
    assert len(core.gaps()) == 1
    assert core.store.calls["snapshot"] == 4


@pytest.mark.usefixtures("quick")
def test_two_losses_are_two_gaps_that_do_not_overlap(core: Core) -> None:
    core.cover(A)
    lose_history(core, ("a", "1"), ("a", "2"))
    core.wait_until(core.gaps)
    core.wait_complete()
    core.store.watch_number(3)
    lose_history(core, ("a", "3"), ("a", "4"))
    core.wait_until(lambda: len(core.gaps()) == 2)
    core.wait_complete()
    first, second = core.gaps()
    assert (first.first, first.last, second.first, second.last) == (2, 2, 4, 4)
    assert core.told() == [(3, "a", "2"), (5, "a", "4")]


@pytest.mark.usefixtures("quick")
def test_a_resync_that_is_refused_is_tried_again(core: Core) -> None:
    core.cover(A)
    core.store.fail_next("snapshot", RequestRejected("no permission to read"))
    lose_history(core, ("a", "1"), ("a", "2"))
    core.wait_until(core.gaps)
    core.wait_complete()
    assert core.told() == [(3, "a", "2")]


@pytest.mark.usefixtures("quick")
def test_closing_during_a_resync_ends_it_without_a_word(
    store: FakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    core = Core(store)
    core.cover(A)
    goes_on = threading.Event()
    store.before("snapshot", lambda: goes_on.wait(PATIENCE))
    lose_history(core, ("a", "1"), ("a", "2"))
    store.wait_until(lambda: store.calls["snapshot"])
    core.feed.close(0.0)
    store.close()
    goes_on.set()
    core.close()
    assert caplog.records == []
    assert core.gaps() == []


# What is refused.


def refuse_b(scope: KeyRange) -> BaseException | None:
    return RequestRejected("no permission for b") if b"b" in scope else None


def test_a_refusal_reaches_the_one_who_asked_and_what_was_watched_still_is(core: Core) -> None:
    core.cover(A)
    core.store.refusal = refuse_b
    with pytest.raises(RequestRejected, match="no permission for b"):
        core.cover(B)
    assert core.feed.scope == A
    core.store.commit(("a", "1"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1")]
    assert core.feed.status.state == "connected"


def test_a_first_range_that_is_refused_leaves_nothing_watched(core: Core) -> None:
    core.store.refusal = refuse_b
    with pytest.raises(RequestRejected):
        core.cover(B)
    assert core.feed.scope is None
    core.cover(A)
    core.store.commit(("a", "1"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1")]


def test_a_refusal_can_be_had_again_and_again(core: Core) -> None:
    core.cover(A)
    core.store.refusal = refuse_b
    for _ in range(5):
        with pytest.raises(RequestRejected):
            core.cover(B)
    core.store.refusal = lambda _: None
    core.cover(B)
    core.store.commit(("a", "1"), ("b", "1"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1"), (2, "b", "1")]


@pytest.mark.usefixtures("quick")
def test_a_range_that_is_refused_later_is_tried_again_and_shows_in_the_status(
    store: FakeStore,
) -> None:
    core = Core(store, timeout=0.01)
    core.cover(B)
    store.refusal = refuse_b
    store.watch_number(1).push(LOST)
    core.wait_until(lambda: "no permission" in core.feed.status.reason)
    assert core.feed.status.state == "reconnecting"
    store.refusal = lambda _: None
    core.wait_until(lambda: core.feed.status.state == "connected")
    store.commit(("b", "1"))
    core.wait_complete()
    assert core.told() == [(2, "b", "1")]
    core.close()


def test_a_refusal_reaches_nobody_who_asked_for_something_else(core: Core) -> None:
    core.cover(A)
    core.store.refusal = refuse_b
    stop, outcomes = threading.Event(), list[object]()

    def ask_for_what_is_refused() -> None:
        while not stop.is_set():
            try:
                core.cover(B)
            except RequestRejected:
                pass
            else:
                outcomes.append("b was not refused")

    def ask_for_what_is_not() -> None:
        try:
            for number in range(20):
                core.cover(KeyRange.of_key(b"%02d" % number))
        except Exception as error:  # noqa: BLE001 - any is one too many
            outcomes.append(error)

    refused = threading.Thread(target=ask_for_what_is_refused)
    allowed = [threading.Thread(target=ask_for_what_is_not) for _ in range(2)]
    for thread in (refused, *allowed):
        thread.start()
    for thread in allowed:
        thread.join(PATIENCE)
    stop.set()
    refused.join(PATIENCE)
    assert outcomes == []
    assert core.feed.scope is not None
    assert b"b" not in core.feed.scope


def test_no_acknowledgement_in_time_names_the_endpoints_and_restores_what_was_watched(
    core: Core,
) -> None:
    core.cover(A)
    core.store.silent = True
    with pytest.raises(ConnectionFailed, match="http://one:2379"):
        core.cover(C, timeout=0.01)
    assert core.feed.scope == A
    core.store.speak()
    core.store.commit(("a", "1"), ("c", "1"))
    core.wait_complete()
    assert (2, "a", "1") in core.told()


def test_the_error_of_a_range_that_was_not_acknowledged_says_why(core: Core) -> None:
    core.store.fail_next("watch", *[ConnectionFailed("in full", "connection refused")] * 1000)
    with pytest.raises(ConnectionFailed, match="connection refused") as caught:
        core.cover(A, timeout=0.2)
    assert "LocalEtcd" in str(caught.value)
    assert core.feed.scope is None


def test_a_failure_of_one_who_asked_does_not_take_away_what_another_got_meanwhile(
    core: Core,
) -> None:
    core.store.silent = True
    errors: list[BaseException] = []

    def ask(scope: KeyRange, timeout: float) -> None:
        try:
            core.cover(scope, timeout=timeout)
        except ConnectionFailed as error:
            errors.append(error)

    first = threading.Thread(target=ask, args=(A, 0.3))
    first.start()
    core.store.wait_until(lambda: core.store.watches and core.store.watches[0].reads)
    second = threading.Thread(target=ask, args=(C, PATIENCE))
    second.start()
    first.join(PATIENCE)
    core.store.speak()
    second.join(PATIENCE)
    assert len(errors) == 1
    core.store.commit(("c", "1"))
    core.wait_complete()
    assert (2, "c", "1") in core.told()


def test_an_interrupt_while_asking_leaves_what_was_watched(core: Core) -> None:
    core.cover(A)
    core.store.silent = True
    watch = core.store.watch_number(1)
    with interrupted(lambda: core.store.wait_until(lambda: len(watch.targets) == 2)):
        core.cover(C)
    assert core.feed.scope == A
    core.store.speak()
    core.store.commit(("a", "1"))
    core.wait_complete()
    assert core.told() == [(2, "a", "1")]
    core.cover(C)


# Being complete.


def test_it_is_not_complete_before_the_change_is_published(core: Core) -> None:
    core.cover(A)
    core.store.watch_number(1).hold()
    core.store.commit(("a", "1"))
    assert not core.feed.wait_complete(2, 0.02)
    core.store.watch_number(1).hold(held=False)
    assert core.feed.wait_complete(2, PATIENCE)
    assert core.told() == [(2, "a", "1")]


def test_changes_of_other_keys_are_asked_about(core: Core) -> None:
    core.cover(A)
    core.store.commit(("x", "1"))
    assert core.feed.wait_complete(2, PATIENCE)
    assert core.store.watches[0].probes == [2]
    assert core.feed.revision == 2


def test_changes_of_our_own_keys_are_not_asked_about(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "PATIENCE", PATIENCE)
    core.cover(A)
    core.store.commit(("a", "1"))
    assert core.feed.wait_complete(2, PATIENCE)
    assert core.store.watches[0].probes == []


def test_it_asks_once_and_waits_for_the_answer(core: Core) -> None:
    core.cover(A)
    core.store.deaf_to_probes = True
    core.store.commit(("x", "1"))
    assert not core.feed.wait_complete(2, 0.1)
    assert core.store.watches[0].probes == [2]


def test_what_is_behind_already_is_complete_at_once(core: Core) -> None:
    core.cover(A)
    assert core.feed.wait_complete(1, 0.0)
    assert core.feed.wait_complete(0, -1.0)
    assert not core.feed.wait_complete(2, -1.0)


def test_a_question_that_fails_does_not_reach_the_one_who_waits(core: Core) -> None:
    core.cover(A)
    core.store.fail_next("probe", LOST)
    core.store.commit(("x", "1"))
    waiting: list[bool] = []
    thread = threading.Thread(target=lambda: waiting.append(core.feed.wait_complete(2, PATIENCE)))
    thread.start()
    core.store.wait_until(lambda: core.store.calls["probe"])
    core.store.commit(("a", "1"))
    thread.join(PATIENCE)
    assert waiting == [True]


@pytest.mark.usefixtures("quick")
def test_a_new_watch_is_asked_again(core: Core) -> None:
    core.cover(A)
    core.store.deaf_to_probes = True
    core.store.commit(("x", "1"))
    waiting: list[bool] = []
    thread = threading.Thread(target=lambda: waiting.append(core.feed.wait_complete(2, PATIENCE)))
    thread.start()
    core.store.wait_until(lambda: core.store.watches[0].probes)
    core.store.deaf_to_probes = False
    core.store.watches[0].push(LOST)
    thread.join(PATIENCE)
    assert waiting == [True]
    assert core.store.watches[1].probes == [2]


def test_a_new_range_is_asked_again(core: Core) -> None:
    """The answer was read of the old range, and dropped with it."""
    core.cover(A)
    watch = core.store.watch_number(1)
    core.store.deaf_to_probes = True
    core.store.commit(("x", "1"))
    waiting: list[bool] = []
    thread = threading.Thread(target=lambda: waiting.append(core.feed.wait_complete(2, PATIENCE)))
    thread.start()
    core.store.wait_until(lambda: watch.probes)
    with core.demux.lock:
        core.store.deaf_to_probes = False
        watch.hold(held=False)
        core.store.wait_until(lambda: watch.answers)
        core.feed._reach._set_scope(KeyRange(b"a", b"d"))
    thread.join(PATIENCE)
    assert waiting == [True]


def test_closing_ends_the_wait(core: Core) -> None:
    core.cover(A)
    core.store.deaf_to_probes = True
    core.store.commit(("x", "1"))
    waiting: list[bool] = []
    thread = threading.Thread(target=lambda: waiting.append(core.feed.wait_complete(2, PATIENCE)))
    thread.start()
    core.store.wait_until(lambda: core.store.calls["probe"])
    core.feed.close()
    thread.join(PATIENCE)
    assert waiting == [False]


# Closing, at any moment.


def never_began(core: Core) -> None:
    pass


def has_nothing_to_watch(core: Core) -> None:
    core.cover(A)
    core.feed.narrow(None)


def reads(core: Core) -> None:
    core.cover(A)
    core.store.wait_until(lambda: core.store.watches[0].reads == 2)


def waits_to_try_again(core: Core) -> None:
    core.cover(A)
    core.store.fail_next("watch", *[LOST] * 10)
    core.store.watch_number(1).push(LOST)
    core.wait_until(lambda: core.feed.status.state == "reconnecting")


def is_refused(core: Core) -> None:
    core.cover(B)
    core.store.refusal = refuse_b
    core.store.watch_number(1).push(LOST)
    core.wait_until(lambda: "permission" in core.feed.status.reason)


@pytest.mark.parametrize(
    "moment", [never_began, has_nothing_to_watch, reads, waits_to_try_again, is_refused]
)
def test_closing_returns_at_once_and_leaves_no_thread_when_it(
    moment: Callable[[Core], None], store: FakeStore
) -> None:
    core = Core(store)
    moment(core)
    thread = core.feed._readers.thread
    core.feed.close(PATIENCE / 2)
    assert thread is None or not thread.is_alive()
    assert core.feed.status.state == "closed"
    assert core.journal[-1] == Status("closed", "http://one:2379")
    core.feed.close()
    assert core.states().count("closed") == 1
    core.close()


def test_what_was_read_as_it_closed_is_not_published(core: Core) -> None:
    core.cover(A)
    watch = core.store.watch_number(1)
    thread = core.feed._readers.thread
    assert thread is not None
    with core.demux.lock:
        watch.push(batch_of(watch, 5, opened=True))
        core.store.wait_until(lambda: not watch._pushed)  # read, and held up at the lock
        core.feed.close(0.0)
    thread.join(PATIENCE)
    assert core.feed.status.state == "closed"
    assert core.told() == []


def test_closing_while_it_connects_waits_no_longer_than_it_may(store: FakeStore) -> None:
    core = Core(store)
    core.cover(A)
    goes_on = threading.Event()
    store.before("watch", lambda: goes_on.wait(PATIENCE))
    store.watch_number(1).push(LOST)
    store.wait_until(lambda: store.calls["watch"] == 2)
    core.feed.close(0.0)
    store.close()  # which is what ends a connection that is being made
    goes_on.set()
    core.close()


def test_closing_ends_those_who_ask_for_a_key(core: Core) -> None:
    core.store.silent = True
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            core.cover(A)
        except StoreClosed as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    core.store.wait_until(lambda: core.store.watches and core.store.watches[0].reads)
    core.feed.close()
    thread.join(PATIENCE)
    assert len(errors) == 1


def test_what_is_closed_cannot_watch(core: Core) -> None:
    core.feed.close()
    with pytest.raises(StoreClosed):
        core.cover(A)


def test_a_store_that_is_closed_beneath_it_ends_its_thread(core: Core) -> None:
    core.cover(A)
    core.store.close()
    thread = core.feed._readers.thread
    assert thread is not None
    thread.join(PATIENCE)
    assert not thread.is_alive()


# Everything at once.

KEYS = ("a", "b", "c", "d")
steps = st.one_of(
    st.tuples(
        st.just("commit"),
        st.lists(
            st.tuples(st.sampled_from((*KEYS, "bb", "x")), st.none() | st.sampled_from("12")),
            min_size=1,
            max_size=3,
            unique_by=lambda change: change[0],
        ),
    ),
    st.tuples(st.just("cover"), st.sampled_from(KEYS)),
    st.tuples(st.just("lose"), st.integers(0, 3)),
    st.tuples(st.just("compact"), st.integers(0, 3)),
    st.tuples(st.just("sync"), st.none()),
)


class Story:
    """Runs steps that hypothesis chose, and checks the promise at the end."""

    def __init__(self) -> None:
        self.store = FakeStore(("http://one:1", "http://two:2"))
        self.store.at_once = 2
        self.core = Core(self.store)
        self.core.cover(A)

    def run(self, step: str, argument: Any) -> None:
        getattr(self, step)(argument)

    def commit(self, changes: list[tuple[str, str | None]]) -> None:
        self.store.commit(*changes)

    def cover(self, key: str) -> None:
        self.core.cover(KeyRange.of_key(key.encode()))

    def lose(self, failures: int) -> None:
        with self.store.changed:
            self.store.fail_next("watch", *[LOST] * failures)
            if self.store.watches:
                self.store.watches[-1].push(LOST)

    def compact(self, changes: int) -> None:
        """Lose history, and with it changes that were not told yet."""
        with self.store.changed:
            for number in range(changes):
                self.store.commit((KEYS[number], "lost"))
            self.store.compact(self.store.now)
            self.store.watches[-1].push(LOST)

    def sync(self, _: None) -> None:
        self.core.wait_complete()

    def check(self) -> None:
        core = self.core
        core.wait_complete()
        starts = {route.scope.start: route.start for route in core.demux.router}
        told = [each for each in core.journal.events() if not each.synthetic]
        committed = {
            (each.revision, each.raw_key): each
            for transaction in self.store.transactions
            for each in transaction
            if each.raw_key in starts and each.revision > starts[each.raw_key]
        }
        seen = [(each.revision, each.raw_key) for each in told]
        assert len(seen) == len(set(seen)), "told twice"
        assert all(committed[each] == event for each, event in zip(seen, told, strict=True))
        revisions = [each.revision for each in core.journal.events()]
        assert revisions == sorted(revisions), "out of order"
        lost = set(committed) - set(seen)
        for revision, _ in lost:
            assert any(gap.first <= revision <= gap.last + 1 for gap in core.gaps()), (
                f"{revision} is missing, and no gap says so"
            )
        self.check_values(core.journal.events(), starts)

    def check_values(self, events: list[Event], starts: Mapping[bytes, int]) -> None:
        believed = {each.raw_key: each.raw_value for each in events}
        true = {item.raw_key: item for item in self.store._state(KeyRange(b"", None), 10**9)}
        for key, start in starts.items():
            item = true.get(key)
            if item is not None and item.revision > start:
                assert believed[key] == item.raw_value
            elif item is None and key in believed:
                assert believed[key] is None


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
@given(st.lists(steps, max_size=25))
def test_every_change_is_told_once_and_in_order_or_a_gap_says_so(
    monkeypatch_once: None, steps: list[tuple[str, Any]]
) -> None:
    story = Story()
    try:
        for step, argument in steps:
            story.run(step, argument)
        story.check()
    finally:
        story.core.close()


@pytest.fixture(scope="module")
def monkeypatch_once() -> Iterator[None]:
    """Try again at once, in all of hypothesis' runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backoff_module, "FIRST_BACKOFF", 0.0005)
        patch.setattr(backoff_module, "LAST_BACKOFF", 0.001)
        yield
