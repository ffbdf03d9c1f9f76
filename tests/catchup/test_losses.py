"""A subscriber that fell behind so far that the server has dropped what it was not told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from etcd_watcher import Watcher
from etcd_watcher.keys import KeyRange
from etcd_watcher.stores.base import Batch
from tests.catchup.reader import Reader, fall_behind, hold_history
from tests.fake_store import PATIENCE, FakeStore, event
from tests.lagging import BOUND


def test_history_that_the_server_dropped_is_passed_over_to_the_oldest_state_it_has(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    watcher, reader = opened(journal_events=10), Reader()
    watcher.on("k")(reader)
    fall_behind(watcher, store, reader, 50)
    store.compact(30)
    reader.go_on.set()
    watcher.sync()
    held = list(range(2, 2 + BOUND + 1))
    assert reader.revisions == held + list(range(30, 53))
    assert [each.revision for each in reader.told if each.synthetic] == [30]


def test_who_waits_for_a_lost_change_waits_for_what_stands_for_it(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    """By the feed's loss: the synthetic event bears a later revision than what was waited for."""
    watcher, reader = opened(), Reader()
    watcher.on("k")(reader)
    store.watch_number(1).hold()
    lost = store.commit(("k", "lost"))
    store.compact(store.commit(("k", "kept")))
    reader.go_on.clear()
    store.watch_number(1).hold(held=False)
    assert watcher._feed.wait_complete(lost, PATIENCE)
    assert reader.stands.wait(PATIENCE)
    assert [each.who for each in watcher._pool.settle(lost, 0)] == [reader]
    reader.go_on.set()
    assert watcher._pool.settle(lost, PATIENCE) == []
    assert [(each.value, each.synthetic) for each in reader.told] == [("kept", True)]


def test_who_waits_for_a_change_that_one_lost_who_lagged_waits_too(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    watcher, reader = opened(journal_events=3), Reader()
    watcher.on("k", prefix=True)(reader)
    fall_behind(watcher, store, reader, BOUND)
    lost = store.commit(("k", "lost"))
    for number in range(10):
        store.commit(("k", str(number)))
    store.compact(store.now)
    assert watcher._feed.wait_complete(store.now, PATIENCE)
    reader.until = store.now
    reader.go_on.set()
    assert reader.stands_at_last.wait(PATIENCE)
    assert [each.who for each in watcher._pool.settle(lost, 0)] == [reader]
    reader.until = None
    reader.go_on.set()
    assert watcher._pool.settle(lost, PATIENCE) == []


def test_what_was_deleted_in_history_that_the_server_dropped_is_told(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    for key in ("before", "kept"):
        store.commit((key, "v"))
    watcher, reader = opened(journal_events=3), Reader()
    watcher.on("", prefix=True)(reader)
    assert watcher._census.wait(PATIENCE)
    fall_behind(watcher, store, reader, 10)
    store.commit(("seen", "v"))
    store.commit(("before", None))
    store.commit(("seen", None))
    store.commit(("again", "v"))
    store.commit(("again", None))
    for number in range(10):
        store.commit(("k", str(number)))
    store.compact(store.now)
    store.commit(("kept", None))
    assert watcher._feed.wait_complete(store.now, PATIENCE)
    reader.go_on.set()
    watcher.sync()
    made = [(each.key, each.value, each.revision) for each in reader.told if each.synthetic]
    # What came and went in between, nobody has to hear of.
    assert made == [("k", "9", store.compacted), ("before", None, store.compacted)]
    assert [each.key for each in reader.told if not each.synthetic][-1] == "kept"
    (gap,) = watcher.delivery(reader).gaps
    assert (gap.first, gap.last) == (3 + BOUND + 2, store.compacted - 1)
    assert gap.subscriber == repr(reader)
    assert gap in list(watcher.journal)


@pytest.mark.parametrize("late", [False, True])
def test_a_key_that_came_and_went_in_a_loss_is_news_only_to_who_subscribed_in_between(
    opened: Callable[..., Watcher], store: FakeStore, *, late: bool
) -> None:
    """A census may find such a key, because it asks the server while the feed is behind."""
    watcher, reader, guest = opened(), Reader(), Reader()
    watcher.on("k", prefix=True)(reader)
    assert watcher._census.wait(PATIENCE)
    store.watch_number(1).hold()
    store.commit(("k/short", "v"))
    watcher._census.ask([KeyRange.of_prefix(b"k")])
    assert watcher._census.wait(PATIENCE)
    if late:
        watcher.on("k", prefix=True)(guest)
    store.commit(("k/short", None))
    store.compact(store.commit(("k/other", "v")))
    store.watch_number(1).hold(held=False)
    watcher.sync()
    assert [each.key for each in reader.told] == ["k/other"]
    assert [each.key for each in guest.told] == (["k/other", "k/short"] if late else [])


def test_the_deletion_of_a_key_that_came_while_one_lagged_is_told(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    """The journal still tells of its coming, and the server no more of its going."""
    watcher, reader = opened(journal_events=6), Reader()
    watcher.on("", prefix=True)(reader)
    fall_behind(watcher, store, reader, BOUND)
    came = store.commit(("short", "v"))
    store.commit(("k", "v"))
    store.commit(("k", "v"))
    store.commit(("short", None))
    assert watcher._feed.wait_complete(store.now, PATIENCE)
    reader.until = came
    reader.go_on.set()
    assert reader.stands_at_last.wait(PATIENCE)
    for number in range(10):
        store.commit(("k", str(number)))
    assert watcher._feed.wait_complete(store.now, PATIENCE)
    store.compact(store.now)
    reader.until = None
    reader.go_on.set()
    watcher.sync()
    told = [(each.value, each.synthetic) for each in reader.told if each.key == "short"]
    assert told == [("v", False), (None, True)]


def test_history_of_data_that_was_replaced_meanwhile_is_told_no_further(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    watcher, reader = opened(journal_events=10), Reader()
    watcher.on("k")(reader)
    fall_behind(watcher, store, reader, 50)
    goes_on = hold_history(store, reader)
    feed = store.watch_number(1)
    reads = feed.reads
    feed.push(Batch(feed.scope, [event(2, "k", "new")], anew=True))
    store.wait_until(lambda: feed.reads > reads, "the new data to be taken")
    goes_on.set()
    feed.push(Batch(feed.scope, [event(3, "k", "newer")]))
    watcher.wait_for("k", lambda each: each.value == "newer", timeout=PATIENCE)
    assert watcher._pool.settle(3, PATIENCE) == []
    held = ["first", *map(str, range(BOUND))]
    assert [each.value for each in reader.told] == [*held, "new", "newer"]
    (gap,) = watcher.delivery(reader).gaps
    assert (gap.first, gap.last) == (2 + BOUND + 1, store.now)


@pytest.mark.parametrize("lags", [False, True])
def test_a_resync_is_told_whole_whatever_a_mailbox_holds(
    opened: Callable[..., Watcher],
    store: FakeStore,
    lags: bool,  # noqa: FBT001
) -> None:
    watcher, reader = opened(), Reader()
    watcher.on("", prefix=True)(reader)
    fall_behind(watcher, store, reader, 8 if lags else 2)
    store.watch_number(1).hold()
    for number in range(10):
        store.commit((f"key-{number}", "v"))
    store.compact(store.now)
    store.watch_number(1).hold(held=False)
    store.commit(("k", "after"))
    assert watcher._feed.wait_complete(store.now, PATIENCE)
    (box,) = watcher._registry.mailboxes()
    made = [each.key for each, _ in box.queue if each.synthetic]
    assert made == ([] if lags else [f"key-{number}" for number in range(10)])
    with watcher._demux.lock:
        box.queue.clear()
        watcher._demux.refill_from_journal(box, 3)
        while box.lag_from is not None and not any(each.synthetic for each, _ in box.queue):
            watcher._demux.refill_from_journal(box, 3)
        made = [each.key for each, _ in box.queue if each.synthetic]
    assert made == ([f"key-{number}" for number in range(10)] if lags else [])
    reader.go_on.set()
