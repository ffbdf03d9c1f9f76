"""Where one stream of events becomes many: who gets what, and what the journal keeps."""

from __future__ import annotations

import threading

from etcd_watcher.demux import Demux
from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.router import Route
from etcd_watcher.subscriber import Subscription
from tests.demux.counter import Counter, publish, revisions
from tests.fake_store import event


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
