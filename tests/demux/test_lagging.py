"""What a mailbox that lags is given from the journal: its own, once, in order, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher import lagging
from etcd_watcher import mailbox as mailbox_module
from etcd_watcher.demux import Demux
from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.event import Event, Status
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.lagging import fill
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.subscriber import Subscription
from tests.demux.counter import Counter, publish, revisions
from tests.fake_store import event


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
