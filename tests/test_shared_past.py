"""A past that several need at the same time: each is told all of it once, and it is read once."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd_watcher import Event
from etcd_watcher import shared_past as shared_past_module
from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.keys import KeyRange
from etcd_watcher.shared_past import PastReader, SharedPasts
from etcd_watcher.stores.history import FAR
from tests.fake_store import PATIENCE, event
from tests.threads import in_thread

SCOPE = KeyRange.of_prefix(b"k")
LAST = 60


class Past:
    """Transactions of two events each, in batches; it knows what was read of it."""

    def __init__(self, at_once: int = 3) -> None:
        self.at_once = at_once
        self.begun: list[int] = []
        """The first revision of each reading."""
        self.ended = 0
        self.batches = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.waits = threading.Event()
        self.breaks_behind: int | None = None

    def replay(self, scope: KeyRange, first: int, last: int) -> Generator[list[Event], None, None]:
        assert scope == SCOPE
        self.begun.append(first)
        try:
            for begin in range(first, last + 1, self.at_once):
                self.waits.set()
                assert self.may_go_on.wait(PATIENCE)
                if self.breaks_behind is not None and begin > self.breaks_behind:
                    self.breaks_behind = None
                    raise ConnectionFailed("it broke")
                self.batches += 1
                yield told(begin, min(begin + self.at_once - 1, last))
        finally:
            self.ended += 1


def told(first: int, last: int) -> list[Event]:
    return [event(each, key) for each in range(first, last + 1) for key in ("k1", "k2")]


class Laggard:
    """One who reads on and on until it is told everything, as `CatchUp` does."""

    def __init__(self, pasts: SharedPasts, first: int = 1, last: int = LAST) -> None:
        self.pasts = pasts
        self.first, self.last = first, last
        self.told: list[Event] = []
        self.times_left = 0
        self.reader = pasts.join(SCOPE, first, last, 0)

    def read(self) -> bool:
        """Read once; False when all is told."""
        events = self.reader.read()
        self.told += events or ()
        if events is None:
            self.reader.close()
            if self.reader.reached >= self.last:
                return False
            self.times_left += 1
            self.reader = self.pasts.join(SCOPE, self.reader.reached + 1, self.last, 0)
        return True

    def read_all(self) -> list[Event]:
        while self.read():
            pass
        return self.told


@pytest.fixture
def past() -> Past:
    return Past()


@pytest.fixture
def pasts(past: Past) -> SharedPasts:
    return SharedPasts(past.replay)


def test_who_reads_alone_is_told_everything(past: Past, pasts: SharedPasts) -> None:
    assert Laggard(pasts).read_all() == told(1, LAST)
    assert (past.begun, past.ended, pasts.readings) == ([1], 1, [])


def test_what_several_need_is_read_once(past: Past, pasts: SharedPasts) -> None:
    several = [Laggard(pasts) for _ in range(20)]
    going = several
    while going:
        going = [each for each in going if each.read()]
    assert all(each.told == told(1, LAST) for each in several)
    assert (past.begun, past.batches) == ([1], LAST / past.at_once)
    assert pasts.readings == []


def test_who_comes_later_finds_what_was_read_and_begins_where_it_needs_to(
    past: Past, pasts: SharedPasts
) -> None:
    one = Laggard(pasts)
    for _ in range(5):
        one.read()
    late, near = Laggard(pasts, 8), Laggard(pasts, 30)  # in the middle of a batch, and ahead of all
    assert late.read_all() == told(8, LAST)
    assert near.read_all() == told(30, LAST)
    assert one.read_all() == told(1, LAST)
    assert past.begun == [1]


def test_nobody_reads_a_long_way_to_where_it_begins(pasts: SharedPasts, past: Past) -> None:
    with (
        closing(pasts.join(SCOPE, 1, 10 * FAR, 0)),
        closing(pasts.join(SCOPE, FAR + 1, 10 * FAR, 0)),
    ):
        assert len(pasts.readings) == 2
    assert past.batches == 0


@pytest.mark.parametrize(
    ("scope", "era"), [(KeyRange.of_prefix(b"k1"), 0), (SCOPE, 1)], ids=["keys", "data"]
)
def test_others_keys_and_data_that_was_replaced_are_not_shared(
    pasts: SharedPasts, scope: KeyRange, era: int
) -> None:
    with closing(pasts.join(SCOPE, 1, LAST, 0)), closing(pasts.join(scope, 1, LAST, era)):
        assert len(pasts.readings) == 2


def test_a_much_slower_one_holds_nobody_up_and_reads_the_rest_for_itself(
    past: Past, pasts: SharedPasts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_past_module, "KEPT_BYTES", 1)
    slow, quick, quick_too = (Laggard(pasts) for _ in range(3))
    slow.read()
    while quick.read():
        assert quick_too.read() or quick_too.told == quick.told
    assert quick.told == quick_too.told == told(1, LAST)
    assert past.begun == [1]
    assert slow.read_all() == told(1, LAST)
    assert (past.begun, slow.times_left) == ([1, 1 + past.at_once], 1)


def test_what_is_kept_is_bounded(pasts: SharedPasts, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = sum(each.size for each in told(1, 3))
    monkeypatch.setattr(shared_past_module, "KEPT_BYTES", 8 * batch)
    slow = [Laggard(pasts, first) for first in (40, 20, 1)]  # a reading each, and nobody reads on
    quick = [Laggard(pasts, first) for first in (40, 20, 1)]
    most = 0
    while [each for each in quick if each.read()]:
        kept = [batch for reading in pasts.readings for batch, _ in reading.kept]
        most = max(most, sum(each.size for batch in kept for each in batch))
    assert 4 * batch < most <= 8 * batch
    assert [each.read_all() for each in slow] == [told(first, LAST) for first in (40, 20, 1)]
    assert pasts.readings == []


def test_of_what_one_reads_alone_less_is_kept(
    pasts: SharedPasts, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = sum(each.size for each in told(1, 3))
    monkeypatch.setattr(shared_past_module, "KEPT_ALONE", 2 * batch)
    one = Laggard(pasts)
    for _ in range(6):
        one.read()
    (reading,) = pasts.readings
    assert len(reading.kept) == 2
    late = Laggard(pasts, 13)
    assert len(pasts.readings) == 1
    for _ in range(6):
        one.read()
    assert len(reading.kept) == 8
    assert late.read_all() == told(13, LAST)
    assert one.read_all() == told(1, LAST)


def test_one_who_leaves_in_the_middle_ends_nothing_for_the_others(
    past: Past, pasts: SharedPasts
) -> None:
    one, other = Laggard(pasts), Laggard(pasts)
    for _ in range(3):
        one.read()
    one.reader.close()
    one.reader.close()
    assert past.ended == 0
    assert other.read_all() == told(1, LAST)
    assert (past.begun, past.ended) == ([1], 1)


def test_the_last_one_who_leaves_ends_the_reading(past: Past, pasts: SharedPasts) -> None:
    one, other = Laggard(pasts), Laggard(pasts)
    one.read()
    one.reader.close()
    other.reader.close()
    assert (past.ended, past.batches, pasts.readings) == (1, 1, [])


def test_where_it_breaks_each_goes_on_behind_what_it_was_told(
    past: Past, pasts: SharedPasts
) -> None:
    one, other = Laggard(pasts), Laggard(pasts)
    past.breaks_behind = 10
    with pytest.raises(ConnectionFailed):
        one.read_all()
    assert one.told == told(1, 12)
    assert other.read_all() == told(1, LAST)
    assert past.begun == [1, 13]


def test_two_who_need_the_next_batch_wait_for_the_same(past: Past, pasts: SharedPasts) -> None:
    one, other = Laggard(pasts), Laggard(pasts)
    past.may_go_on.clear()
    threads = [in_thread(each.read_all) for each in (one, other)]
    assert past.waits.wait(PATIENCE)
    past.may_go_on.set()
    for thread, results in threads:
        thread.join(PATIENCE)
        assert results == [told(1, LAST)]
    assert past.batches == LAST / past.at_once


def test_one_who_is_behind_does_not_wait_for_who_reads_on(past: Past, pasts: SharedPasts) -> None:
    ahead, behind = Laggard(pasts), Laggard(pasts)
    for _ in range(3):
        ahead.read()
    past.waits.clear()
    past.may_go_on.clear()
    thread, _ = in_thread(ahead.read)
    assert past.waits.wait(PATIENCE)
    for _ in range(3):
        behind.read()
    assert behind.told == told(1, 9)
    assert thread.is_alive()
    past.may_go_on.set()
    thread.join(PATIENCE)


def test_one_who_is_closed_while_it_waits_lets_go_of_the_reading(
    past: Past, pasts: SharedPasts
) -> None:
    past.may_go_on.clear()
    reader = pasts.join(SCOPE, 1, LAST, 0)
    thread, results = in_thread(reader.read)
    assert past.waits.wait(PATIENCE)
    reader.close()
    assert pasts.readings == []
    past.may_go_on.set()
    thread.join(PATIENCE)
    assert results == [told(1, 3)]
    del reader
    assert past.ended == 1


@given(
    at_once=st.integers(1, 20),
    room=st.sampled_from([1, 5_000, 50_000]),
    firsts=st.lists(st.integers(1, LAST), min_size=1, max_size=5),
    turns=st.lists(st.integers(0, 4), max_size=100),
)
def test_whoever_reads_when_is_told_everything_once(
    at_once: int, room: int, firsts: list[int], turns: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_past_module, "KEPT_BYTES", room)
        pasts = SharedPasts(Past(at_once).replay)
        all_of_them = [Laggard(pasts, first) for first in firsts]
        done: set[Laggard] = set()
        for turn in turns:
            one = all_of_them[turn % len(all_of_them)]
            if one not in done and not one.read():
                done.add(one)
        for each in all_of_them:
            if each not in done:
                each.read_all()
            assert each.told == told(each.first, LAST)
    assert pasts.readings == []


def test_on_threads_of_their_own_too(past: Past, pasts: SharedPasts) -> None:
    several = [Laggard(pasts, first) for first in (9, 5, 1, 1, 1, 5, 9, 20)]
    threads = [in_thread(each.read_all) for each in several]
    for (thread, results), each in zip(threads, several, strict=True):
        thread.join(PATIENCE)
        assert results == [told(each.first, LAST)]
    assert pasts.readings == []
    assert isinstance(several[0].reader, PastReader)
