"""A subscriber that fell behind: from the journal, then from history, then live; each event once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from etcd_watcher import Event, Watcher
from etcd_watcher import catchup as catchup_module
from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.shared_past import PastReader
from tests.catchup.reader import Reader, fall_behind, hold_history
from tests.eventually import eventually
from tests.fake_store import PATIENCE, FakeStore
from tests.lagging import BOUND
from tests.threads import threads_left


def test_one_that_lags_behind_its_mailbox_reads_the_journal(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    watcher, reader = opened(), Reader()
    watcher.on("k")(reader)
    fall_behind(watcher, store, reader, 50)
    assert watcher.delivery(reader).lagging > 0
    reader.go_on.set()
    watcher.sync()
    assert reader.revisions == list(range(2, 53))
    assert len(store.watches) == 1  # the server was not asked
    store.commit(("k", "live"))
    watcher.sync()
    assert reader.revisions[-1] == 53
    assert watcher.delivery(reader).lagging == 0


def test_what_the_journal_has_forgotten_is_read_from_the_servers_history(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    watcher, reader = opened(journal_events=10), Reader()
    watcher.on("k")(reader)
    fall_behind(watcher, store, reader, 50)
    reader.go_on.set()
    watcher.sync()
    assert reader.revisions == list(range(2, 53))
    history = store.watches[1]
    assert history.targets[0][1] == 1 + BOUND + 1  # behind what the mailbox held
    assert history.closed


def test_events_that_come_while_history_is_read_are_told_once_and_after_it(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    watcher, reader = opened(journal_events=10), Reader()
    watcher.on("k")(reader)
    fall_behind(watcher, store, reader, 30)
    goes_on = hold_history(store, reader)
    for number in range(30):  # the journal forgets once more
        store.commit(("k", f"meanwhile {number}"))
    assert watcher._feed.wait_complete(store.now, PATIENCE)
    goes_on.set()
    watcher.sync()
    assert reader.revisions == list(range(2, 63))


def test_a_transaction_is_told_whole_on_every_way(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    watcher, reader = opened(journal_events=12), Reader()
    watcher.on("k", prefix=True)(reader)
    fall_behind(watcher, store, reader, 3)
    for number in range(20):
        store.commit(*[(f"k{part}", str(number)) for part in range(5)])
    assert watcher._feed.wait_complete(store.now, PATIENCE)
    reader.go_on.set()
    watcher.sync()
    expected = [(each.revision, each.key) for tx in store.transactions for each in tx]
    assert [(each.revision, each.key) for each in reader.told] == expected


def test_only_its_own_keys_are_told_on_the_way_back(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    watcher, reader = opened(journal_events=10), Reader()
    watcher.add_key(["a", "l", "z"])
    watcher.on(["k", "m"])(reader)
    fall_behind(watcher, store, reader, 10)
    for number in range(20):
        store.commit(("l", str(number)))
        store.commit(("m", str(number)))
    assert watcher._feed.wait_complete(store.now, PATIENCE)
    reader.go_on.set()
    watcher.sync()
    assert {each.key for each in reader.told} == {"k", "m"}
    assert len(reader.told) == 31
    assert reader.revisions == sorted(reader.revisions)


def test_one_that_lags_delays_nobody(opened: Callable[..., Watcher], store: FakeStore) -> None:
    watcher, lags, quick = opened(journal_events=10), Reader(), Reader()
    watcher.on("k")(lags)
    watcher.on("k")(quick)
    fall_behind(watcher, store, lags, 50)
    assert eventually(lambda: len(quick.told) == 51)
    assert quick.revisions == list(range(2, 53))
    assert lags.told == []
    lags.go_on.set()
    watcher.sync()
    assert lags.revisions == quick.revisions


def test_a_server_that_is_away_is_asked_again_until_it_answers(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    watcher, reader = opened(journal_events=10), Reader()
    watcher.on("k")(reader)
    fall_behind(watcher, store, reader, 50)
    store.fail_next("watch", *[ConnectionFailed("away")] * 3)
    reader.go_on.set()
    watcher.sync()
    assert reader.revisions == list(range(2, 53))
    assert store.calls["watch"] == 5


def test_a_history_that_breaks_off_goes_on_behind_the_last_event(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    watcher, reader = opened(journal_events=10), Reader()
    watcher.on("k")(reader)
    fall_behind(watcher, store, reader, 50)
    store.breaks = {2: 10, 3: 5}
    reader.go_on.set()
    watcher.sync()
    assert reader.revisions == list(range(2, 53))
    begun = [watch.targets[0][1] for watch in store.watches[1:]]
    assert len(begun) == 3
    assert begun[0] < begun[1] < begun[2]


def test_one_that_registers_a_key_while_it_lags_still_reads_the_journal(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    watcher, reader = opened(), Reader()
    watcher.on("k")(reader)
    fall_behind(watcher, store, reader, 20)
    watcher.on("l")(reader)
    store.commit(("l", "new"))
    assert watcher._feed.wait_complete(store.now, PATIENCE)
    reader.go_on.set()
    watcher.sync()
    assert reader.revisions == list(range(2, 24))
    assert len(store.watches) == 1  # the server was not asked


def test_a_subscriber_that_leaves_while_it_catches_up_is_told_no_more(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    watcher, reader = opened(journal_events=10), Reader()
    watcher.on("k")(reader)
    fall_behind(watcher, store, reader, 50)
    watcher.unregister("k", reader)
    reader.go_on.set()
    watcher.sync()
    assert reader.revisions == [2]


def test_those_who_are_behind_by_the_same_are_told_by_one_reading(
    opened: Callable[..., Watcher], store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher, readers = opened(journal_events=10), [Reader() for _ in range(5)]
    all_here, here, read = threading.Barrier(len(readers)), set(), PastReader.read

    def read_when_all_are_here(self: PastReader) -> list[Event] | None:
        if self not in here:
            here.add(self)
            all_here.wait(PATIENCE)
        return read(self)

    monkeypatch.setattr(PastReader, "read", read_when_all_are_here)
    for each in readers:
        watcher.on("k")(each)
        each.go_on.clear()
    store.commit(("k", "first"))
    assert all(each.stands.wait(PATIENCE) for each in readers)
    for number in range(50):
        store.commit(("k", str(number)))
    assert watcher._feed.wait_complete(store.now, PATIENCE)
    for each in readers:
        each.go_on.set()
    watcher.sync()
    assert [each.revisions for each in readers] == [list(range(2, 53))] * len(readers)
    assert len(store.watches) == 2
    assert watcher._catch_up._pasts.readings == []


def test_one_who_has_left_reads_no_history(
    opened: Callable[..., Watcher], store: FakeStore
) -> None:
    watcher, reader = opened(journal_events=10), Reader()
    watcher.on("k")(reader)
    fall_behind(watcher, store, reader, 50)
    reader.until = 20
    reader.go_on.set()
    assert reader.stands_at_last.wait(PATIENCE)
    watcher.unregister("k", reader)
    reader.until = None
    reader.go_on.set()
    watcher.sync()
    assert watcher._catch_up._pasts.readings == []
    assert store.watches[1].closed


def test_closing_ends_one_that_waits_for_a_server_that_is_away(
    opened: Callable[..., Watcher], store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catchup_module, "RETRY", PATIENCE)
    watcher, reader = opened(journal_events=10), Reader()
    watcher.on("k")(reader)
    fall_behind(watcher, store, reader, 50)
    store.fail_next("watch", *[ConnectionFailed("away")] * 3)
    reader.go_on.set()
    store.wait_until(lambda: store.calls["watch"] == 2)
    watcher.close()
    assert threads_left() == []
