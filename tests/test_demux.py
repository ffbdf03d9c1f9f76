"""Where one stream of events becomes many: who gets what, and what the journal keeps."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher import lagging
from etcd_watcher import mailbox as mailbox_module
from etcd_watcher.demux import Demux
from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.lagging import fill
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.router import Route
from etcd_watcher.subscriber import Subscription
from tests.fake_store import event


class Counter:
    """A mailbox of a stream: nobody empties it but the test."""

    def __init__(self, demux: Demux) -> None:
        self.demux = demux
        self.woken = 0
        self.mailbox = Mailbox("who", self.refill, self.wake)

    def refill(self, mailbox: Mailbox) -> None:
        self.demux.refill_from_journal(mailbox, 3)

    def wake(self) -> None:
        self.woken += 1

    def subscribe(self, key: bytes, *, prefix: bool = False, start: int = 0) -> Subscription:
        """Subscribe as the registry does."""
        scope = KeyRange.of_prefix(key) if prefix else KeyRange.of_key(key)
        with self.demux.lock:
            route = self.demux.router.find(scope, prefix=prefix)
            if route is None:
                route = Route(key.decode(), scope, prefix, start)
                self.demux.router.add(route)
            made = Subscription(key.decode(), scope, prefix, "who", start=start)
            self.mailbox.add(made)
            route.subscriptions.append((made, self.mailbox))
        return made

    def held(self) -> list[tuple[int, str]]:
        return [(each.revision, each.key) for each, _ in self.mailbox.queue]

    def take_all(self) -> list[Event]:
        found = []
        while self.mailbox.has_more():
            if not self.mailbox.queue:
                self.mailbox.refill()
            else:
                found.append(self.mailbox.queue.popleft()[0])
        return found


@pytest.fixture
def demux() -> Iterator[Demux]:
    pool = WorkerPool()
    yield Demux(Journal(), pool)
    pool.close()


def publish(demux: Demux, *events: Event, gap: Gap | None = None) -> None:
    with demux.lock:
        demux.publish(events, gap)


def revisions(records: Sequence[object]) -> list[int]:
    return [each.revision for each in records if isinstance(each, Event)]


def test_each_event_goes_to_those_who_asked_for_its_key(demux: Demux) -> None:
    one, other, everyone = Counter(demux), Counter(demux), Counter(demux)
    one.subscribe(b"a")
    other.subscribe(b"b")
    everyone.subscribe(b"", prefix=True)
    publish(demux, event(1, "a"), event(2, "b"), event(2, "c"))
    assert one.held() == [(1, "a")]
    assert other.held() == [(2, "b")]
    assert everyone.held() == [(1, "a"), (2, "b"), (2, "c")]


def test_the_journal_keeps_only_what_somebody_watches(demux: Demux) -> None:
    Counter(demux).subscribe(b"a")
    publish(demux, event(1, "a"), event(2, "b"), event(3, "a"))
    assert revisions(demux.journal.events()) == [1, 3]


def test_a_mailbox_that_asked_twice_is_told_twice_and_woken_once(demux: Demux) -> None:
    counter = Counter(demux)
    exact, prefix = counter.subscribe(b"ab"), counter.subscribe(b"a", prefix=True)
    publish(demux, event(1, "ab"))
    assert [each for _, each in counter.mailbox.queue] == [exact, prefix]
    assert counter.woken == 1
    assert len(demux.journal) == 1


def test_nobody_is_told_of_what_was_before_they_asked(demux: Demux) -> None:
    early, late = Counter(demux), Counter(demux)
    early.subscribe(b"a", start=5)
    late.subscribe(b"a", start=7)
    publish(demux, *[event(revision, "a") for revision in range(4, 10)])
    assert early.held() == [(revision, "a") for revision in (6, 7, 8, 9)]
    assert late.held() == [(8, "a"), (9, "a")]
    assert revisions(demux.journal.events()) == [6, 7, 8, 9]


def test_who_is_told_nothing_is_not_woken(demux: Demux) -> None:
    counter = Counter(demux)
    counter.subscribe(b"a", start=5)
    publish(demux, event(3, "a"), event(6, "b"))
    assert counter.woken == 0


def test_an_event_is_in_the_journal_when_its_reader_is_woken(demux: Demux) -> None:
    counter = Counter(demux)
    counter.subscribe(b"a")
    seen: list[int] = []
    counter.mailbox.notify = lambda: seen.append(demux.journal.last_revision)
    publish(demux, event(4, "a"))
    assert seen == [4]


def test_workers_call_the_callbacks_of_mailboxes_that_nobody_else_empties(demux: Demux) -> None:
    told = threading.Event()
    mailbox = Mailbox("who", lambda mailbox: None, None)
    scope = KeyRange.of_key(b"a")
    subscription = Subscription("a", scope, prefix=False, who="who", call=lambda _: told.set())
    mailbox.add(subscription)
    demux.router.add(Route("a", scope, prefix=False, subscriptions=[(subscription, mailbox)]))
    publish(demux, event(1, "a"))
    assert demux.pool.settle(1, 10) == []
    assert told.is_set()


def test_it_knows_which_watched_keys_exist(demux: Demux) -> None:
    Counter(demux).subscribe(b"a", prefix=True)
    publish(demux, event(1, "a"), event(2, "ab"), event(3, "b"), event(4, "a", None))
    assert list(demux.lives) == [b"ab"]
    publish(demux, event(5, "a"), event(6, "ab"))
    assert sorted(demux.lives) == [b"a", b"ab"]


def test_a_gap_stands_before_what_a_resync_found(demux: Demux) -> None:
    Counter(demux).subscribe(b"a")
    gap = Gap(2, 8, "compacted")
    publish(demux, event(5, "a"), gap=gap)
    publish(demux, gap=Gap(9, 9, "compacted"))
    assert list(demux.journal) == [gap, event(5, "a"), Gap(9, 9, "compacted")]


def test_who_came_and_went_in_a_gap_is_told_of_to_who_subscribed_meanwhile_alone(
    demux: Demux,
) -> None:
    """A census has found it, and that somebody has subscribed since is why it counts as known."""
    before, since, after = Counter(demux), Counter(demux), Counter(demux)
    before.subscribe(b"k", prefix=True, start=7)
    demux.complete = 7
    demux.lives.begin_census()
    demux.lives.count(b"k/old", 3)
    demux.lives.count(b"k/late", 10)
    demux.lives.end_census()
    assert demux.known(KeyRange.of_prefix(b"k")) == [b"k/old"]
    since.subscribe(b"k", prefix=True, start=12)
    after.subscribe(b"k/late", start=20)
    gone = [
        event(20, key, None)._replace(synthetic=True)
        for key in sorted(demux.known(KeyRange.of_prefix(b"k")))
    ]
    assert [each.key for each in gone] == ["k/late", "k/old"]
    gap = Gap(8, 19, "compacted")
    with demux.lock:
        demux.resume(gap, gone, 20, anew=False)
    assert before.held() == [(20, "k/old")]
    assert sorted(since.held()) == [(20, "k/late"), (20, "k/old")]
    assert after.held() == []
    assert [each for each in demux.journal if isinstance(each, Event)] == [gone[1]]
    assert list(demux.lives) == []
    assert (demux.complete, since.woken) == (20, 2)


def test_the_connections_state_goes_to_the_journal(demux: Demux) -> None:
    demux.note(Status("reconnecting", reason="refused"))
    assert list(demux.journal) == [Status("reconnecting", reason="refused")]


def test_a_range_is_watched_when_one_route_covers_it(demux: Demux) -> None:
    counter = Counter(demux)
    counter.subscribe(b"a", prefix=True)
    counter.subscribe(b"b")
    assert demux.covers(KeyRange.of_key(b"a"))
    assert demux.covers(KeyRange.of_key(b"abc"))
    assert demux.covers(KeyRange.of_prefix(b"ab"))
    assert demux.covers(KeyRange.of_key(b"b"))
    assert not demux.covers(KeyRange.of_prefix(b"b"))
    assert not demux.covers(KeyRange.of_key(b"c"))
    assert not demux.covers(KeyRange.of_prefix(b""))


def test_the_range_of_a_mailbox_is_the_hull_of_what_it_asked_for(demux: Demux) -> None:
    counter = Counter(demux)
    assert demux.scope_of(counter.mailbox) is None
    counter.subscribe(b"b")
    counter.subscribe(b"d", prefix=True)
    assert demux.scope_of(counter.mailbox) == KeyRange(b"b", b"e")


# Catching up from the journal.


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox_module, "MAILBOX_EVENTS", 4)


@pytest.mark.usefixtures("small")
def test_one_that_lags_gets_from_the_journal_what_is_its_own(demux: Demux) -> None:
    lags, other = Counter(demux), Counter(demux)
    lags.subscribe(b"a")
    other.subscribe(b"b")
    for revision in range(1, 21):
        publish(demux, event(revision, "ab"[revision % 2]))
    assert revisions(lags.take_all()) == list(range(2, 21, 2))
    assert lags.mailbox.lag_from is None
    publish(demux, event(22, "a"))
    assert lags.held() == [(22, "a")]


@pytest.mark.usefixtures("small")
def test_a_status_in_the_journal_does_not_stop_the_catching_up(demux: Demux) -> None:
    lags = Counter(demux)
    lags.subscribe(b"a")
    for revision in range(1, 10):
        publish(demux, event(revision, "a"))
        for _ in range(5):
            demux.note(Status("reconnecting"))
    assert revisions(lags.take_all()) == list(range(1, 10))


def test_what_the_journal_has_forgotten_it_does_not_pretend_to_have(demux: Demux) -> None:
    demux.journal.max_events = 3
    counter = Counter(demux)
    counter.subscribe(b"a")
    for revision in range(1, 10):
        publish(demux, event(revision, "a"))
    counter.mailbox.queue.clear()
    counter.mailbox.lag_from = 6
    assert not demux.refill_from_journal(counter.mailbox, 10)
    assert counter.mailbox.lag_from == 6
    counter.mailbox.lag_from = 7
    assert demux.refill_from_journal(counter.mailbox, 10)
    assert counter.held() == [(7, "a"), (8, "a"), (9, "a")]


def test_what_the_journal_never_had_it_does_not_pretend_to_have(demux: Demux) -> None:
    counter = Counter(demux)
    counter.subscribe(b"a")
    publish(demux, event(9, "a"))
    counter.mailbox.queue.clear()
    counter.mailbox.covered_from = 5
    counter.mailbox.lag_from = 4
    assert not demux.refill_from_journal(counter.mailbox, 10)
    counter.mailbox.lag_from = 5
    assert demux.refill_from_journal(counter.mailbox, 10)
    assert counter.held() == [(9, "a")]


def test_one_that_does_not_lag_needs_nothing(demux: Demux) -> None:
    counter = Counter(demux)
    counter.subscribe(b"a")
    publish(demux, event(1, "a"))
    assert demux.refill_from_journal(counter.mailbox, 10)
    assert counter.held() == [(1, "a")]


@pytest.mark.parametrize("start", [0, 2, 3])
@pytest.mark.parametrize("of", [b"k/", b"", b"k/1"])
def test_what_is_known_to_be_of_a_range_comes_as_what_is_looked_through(
    start: int, of: bytes
) -> None:
    """A history of the very range that is subscribed to is taken whole."""
    events = [event(revision, key) for revision in (2, 3, 4) for key in ("k/1", "k/2")]
    scope = KeyRange.of_prefix(b"k/")
    queues = []
    for known in (None, scope):
        mailbox = Mailbox("who", lambda _: None, None)
        subscription = Subscription("k/", KeyRange.of_prefix(of), prefix=True, start=start)
        mailbox.add(subscription)
        fill(mailbox, events, known)
        queues.append([each for each, _ in mailbox.queue])
    assert queues[0] == queues[1]
    assert len(queues[0]) == (4 - max(1, start)) * (1 if of == b"k/1" else 2)


transactions = st.lists(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5))
turns = st.lists(st.integers(0, 6), max_size=30)


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=100)
@given(transactions, turns, st.sampled_from([b"a", b""]))
def test_however_slowly_it_reads_it_gets_each_event_once_and_in_order(
    transactions: list[list[str]], turns: list[int], key: bytes
) -> None:
    demux = Demux(Journal(), WorkerPool())
    reader, found = Counter(demux), list[Event]()
    reader.subscribe(key, prefix=not key)
    published = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mailbox_module, "MAILBOX_EVENTS", 4)
        for number, keys in enumerate(transactions, start=1):
            events = [event(number, each, str(part)) for part, each in enumerate(keys)]
            published += events
            publish(demux, *events)
            for _ in range(turns[number % len(turns)] if turns else 0):
                if not reader.mailbox.queue and reader.mailbox.lag_from is not None:
                    reader.mailbox.refill()
                elif reader.mailbox.queue:
                    found.append(reader.mailbox.queue.popleft()[0])
        found += reader.take_all()
    assert found == [each for each in published if not key or each.raw_key == key]


def test_a_mailbox_holds_fewer_of_large_events(
    demux: Demux, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_module, "MAILBOX_BYTES", 1000)
    monkeypatch.setattr(mailbox_module, "LARGE", 50)
    monkeypatch.setattr(lagging, "MAILBOX_BYTES", 1000)
    lags = Counter(demux)
    lags.mailbox.notify = lambda: None
    lags.subscribe(b"k", prefix=False)
    for revision in range(1, 20):
        publish(demux, event(revision, "k", b"x" * 100))
    assert len(lags.mailbox.queue) == 5
    assert lags.mailbox.lag_from == 6
    lags.mailbox.queue.clear()
    demux.refill_from_journal(lags.mailbox, 100)
    assert [each.revision for each, _ in lags.mailbox.queue] == [6]  # 400 bytes each, beside values
    publish(demux, event(20, "k", b"x"))
    assert lags.mailbox.lag_from == 7
