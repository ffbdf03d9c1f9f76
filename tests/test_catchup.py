"""A subscriber that fell behind: from the journal, then from history, then live; each event once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher import Event, Watcher
from etcd_watcher import catchup as catchup_module
from etcd_watcher import mailbox as mailbox_module
from etcd_watcher.errors import Compacted, ConnectionFailed
from etcd_watcher.keys import KeyRange
from etcd_watcher.shared_past import PastReader
from etcd_watcher.stores.base import Batch
from etcd_watcher.stores.history import replay
from tests.fake_store import PATIENCE, FakeStore, event
from tests.threads import threads_left

BOUND = 4


class Reader:
    """A subscriber that can be made to stand still."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.stands = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.until: int | None = None
        """A revision at which it stands once more."""
        self.stands_at_last = threading.Event()

    def __call__(self, event: Event) -> None:
        if event.revision == self.until:
            self.go_on.clear()
            self.stands_at_last.set()
        if not self.go_on.is_set():
            self.stands.set()
            self.go_on.wait(PATIENCE)
        self.told.append(event)

    @property
    def revisions(self) -> list[int]:
        return [each.revision for each in self.told]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have mailboxes lag early, and catch up in small steps."""
    monkeypatch.setattr(mailbox_module, "MAILBOX_EVENTS", BOUND)
    monkeypatch.setattr(catchup_module, "CHUNK", 3)
    monkeypatch.setattr(catchup_module, "RETRY", 0.01)


@pytest.fixture
def opened(store: FakeStore) -> Iterator[Callable[..., Watcher]]:
    """Open watchers on the store, and close them in the end."""
    watchers: list[Watcher] = []

    def open_watcher(journal_events: int = 100_000) -> Watcher:
        watchers.append(Watcher(store, journal_events=journal_events))
        return watchers[-1]

    yield open_watcher
    for watcher in watchers:
        watcher.close()


def fall_behind(watcher: Watcher, store: FakeStore, reader: Reader, count: int) -> None:
    """Have a reader stand at one event while `count` more come."""
    reader.stands.clear()
    reader.go_on.clear()
    store.commit(("k", "first"))
    assert reader.stands.wait(PATIENCE)
    for number in range(count):
        store.commit(("k", str(number)))
    assert watcher._feed.wait_complete(store.now, PATIENCE)


def hold_history(store: FakeStore, reader: Reader) -> threading.Event:
    """Have a reader go on until it asks for history, and wait there for what is given."""
    goes_on, asked = threading.Event(), threading.Event()

    def ask() -> None:
        asked.set()
        goes_on.wait(PATIENCE)

    store.before("watch", ask)
    reader.go_on.set()
    assert asked.wait(PATIENCE)
    return goes_on


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
    for _ in range(int(PATIENCE / 0.001)):
        if len(quick.told) == 51:
            break
        threading.Event().wait(0.001)
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


# The replay by itself.

ALL = KeyRange.of_prefix(b"")


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_a_replay_gives_exactly_the_revisions_asked_for_and_closes_its_watch(
    at_once: int,
) -> None:
    store = FakeStore()
    store.at_once = at_once
    for number in range(10):
        store.commit(("k", str(number)), ("l", str(number)))
    batches = list(replay(store, KeyRange.of_key(b"k"), 3, 7))
    assert [each.revision for batch in batches for each in batch] == [3, 4, 5, 6, 7]
    assert {each.key for batch in batches for each in batch} == {"k"}


def test_a_replay_ends_where_the_last_revisions_are_of_other_keys() -> None:
    store = FakeStore()
    store.commit(("k", "1"))
    for _ in range(5):
        store.commit(("x", "1"))
    batches = list(replay(store, KeyRange.of_key(b"k"), 1, store.now))
    assert [each.revision for batch in batches for each in batch] == [2]


def test_a_replay_of_nothing_asks_for_nothing_to_read() -> None:
    store = FakeStore()
    store.commit(("k", "1"))
    assert list(replay(store, ALL, 3, 2)) == []
    assert not store.watches


def test_a_replay_that_is_given_up_closes_its_watch() -> None:
    store = FakeStore()
    store.commit(("k", "1"))
    store.commit(("k", "2"))
    history = replay(store, ALL, 1, 3)
    next(history)
    history.close()


def test_a_replay_of_what_is_compacted_says_so() -> None:
    store = FakeStore()
    for _ in range(5):
        store.commit(("k", "1"))
    store.compact(4)
    with pytest.raises(Compacted):
        list(replay(store, ALL, 2, 6))


# Everything at once.

steps = st.one_of(
    st.tuples(st.just("commit"), st.integers(1, 12)),
    st.tuples(st.just("transaction"), st.integers(1, 8)),
    st.tuples(st.just("stand"), st.just(0)),
    st.tuples(st.just("go on"), st.just(0)),
    st.tuples(st.just("lose history"), st.integers(0, 10)),
    st.tuples(st.just("fail to connect"), st.integers(1, 3)),
)


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=40)
@given(st.lists(steps, max_size=20), st.sampled_from([1, 5, 100]), st.sampled_from([1, 3, 50]))
def test_every_event_is_told_once_and_in_order_however_it_falls_behind(
    steps: list[tuple[str, int]], journal_events: int, at_once: int
) -> None:
    store, reader = FakeStore(), Reader()
    store.at_once = at_once
    with Watcher(store, journal_events=journal_events) as watcher:
        watcher.on("k", prefix=True)(reader)
        for step, number in steps:
            if step == "commit":
                for _ in range(number):
                    store.commit(("k", "v"))
            elif step == "transaction":
                store.commit(*[(f"k{part}", "v") for part in range(number)])
            elif step == "stand":
                reader.go_on.clear()
            elif step == "go on":
                reader.go_on.set()
            elif step == "lose history":
                store.breaks[len(store.watches) + 1] = number
            elif step == "fail to connect":
                store.fail_next("watch", *[ConnectionFailed("away")] * number)
        reader.go_on.set()
        watcher.sync()
        expected = [(each.revision, each.key) for tx in store.transactions for each in tx]
        assert [(each.revision, each.key) for each in reader.told] == expected


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
