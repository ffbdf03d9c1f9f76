"""The journal against a model of it: a list of all that was ever appended."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from etcd_watcher.event import EVENT_OVERHEAD, Event, Gap, Status
from etcd_watcher.journal import RECORD_BYTES, Cursor, Journal, Record
from tests.fake_store import PATIENCE, event
from tests.threads import in_thread


def transaction(revision: int, count: int = 1, size: int = 0) -> list[Record]:
    return [event(revision, f"key-{number}", b"v" * size) for number in range(count)]


def bytes_of(record: Record) -> int:
    if not isinstance(record, Event):
        return RECORD_BYTES
    return EVENT_OVERHEAD + len(record.raw_key) + len(record.raw_value or b"")


class Model(RuleBasedStateMachine):
    """Appends whatever comes to a journal and to plain lists, and compares all readings."""

    cursors = Bundle("cursors")

    @initialize(
        max_events=st.sampled_from([1, 2, 5, 20, 100_000]),
        max_bytes=st.sampled_from([1, 1000, 3000, 10**9]),
        appended_before=st.sampled_from([0, 3, 995, 1010]),
    )
    def begin(self, max_events: int, max_bytes: int, appended_before: int) -> None:
        self.journal = Journal(max_events, max_bytes)
        self.max_events, self.max_bytes = max_events, max_bytes
        self.records: list[Record] = []
        self.revisions: list[int] = []
        self.start = self.size = 0
        self.read_by: dict[Cursor, tuple[int, int]] = {}
        self.append([event(revision) for revision in range(1, appended_before + 1)])

    @property
    def revision(self) -> int:
        return self.revisions[-1] if self.revisions else 0

    def append(self, records: list[Record]) -> None:
        self.journal.append(records)
        for record in records:
            revision = self.revision
            if isinstance(record, Event):
                revision = record.revision
            elif isinstance(record, Gap):
                revision = record.first
            self.records.append(record)
            self.revisions.append(revision)
            self.size += bytes_of(record)
        while self.kept > 1 and (self.kept > self.max_events or self.size > self.max_bytes):
            self.size -= bytes_of(self.records[self.start])
            self.start += 1

    @property
    def kept(self) -> int:
        return len(self.records) - self.start

    @rule(
        step=st.integers(1, 3),
        sizes=st.lists(
            st.tuples(st.integers(1, 4), st.sampled_from([0, 10, 1000])), min_size=1, max_size=4
        ),
    )
    def append_transactions(self, step: int, sizes: list[tuple[int, int]]) -> None:
        records: list[Record] = []
        for number, (count, size) in enumerate(sizes, start=1):
            records += transaction(self.revision + number * step, count, size)
        self.append(records)

    @rule()
    def append_nothing(self) -> None:
        self.append([])

    @rule(state=st.sampled_from(["connected", "reconnecting"]))
    def append_a_status(self, state: str) -> None:
        self.append([Status(state)])

    @rule(lost=st.integers(1, 5))
    def append_a_gap_with_what_a_resync_found(self, lost: int) -> None:
        first = self.revision + 1
        self.append([Gap(first, first + lost, "compacted"), *transaction(first, 1)])

    @rule(target=cursors)
    def put_a_cursor_at_the_end(self) -> Cursor:
        cursor = self.journal.cursor()
        self.read_by[cursor] = (len(self.records), 0)
        return cursor

    @rule(target=cursors, back=st.integers(-2, 30))
    def put_a_cursor_at_a_revision(self, back: int) -> object:
        since = self.revision - back
        if since < 1:
            return multiple()
        cursor = self.journal.cursor(since=since)
        older = sum(each < since for each in self.revisions)
        self.read_by[cursor] = (max(older, self.start), 0)
        return cursor

    @rule(cursor=cursors, limit=st.none() | st.integers(0, 10))
    def read_with_a_cursor(self, cursor: Cursor, limit: int | None) -> None:
        position, missed = self.read_by[cursor]
        assert cursor.behind == len(self.records) - position
        first = max(position, self.start)
        expected = self.records[first:] if limit is None else self.records[first : first + limit]
        assert cursor.read(limit) == expected
        position, missed = first + len(expected), missed + first - position
        assert (cursor.position, cursor.missed) == (position, missed)
        self.read_by[cursor] = (position, missed)

    @rule(back=st.integers(0, 40), limit=st.none() | st.integers(0, 10))
    def read_from_a_position(self, back: int, limit: int | None) -> None:
        position = max(0, len(self.records) - back)
        first = max(position, self.start)
        expected = self.records[first:] if limit is None else self.records[first : first + limit]
        assert self.journal.read(position, limit) == (expected, first + len(expected))

    @rule(back=st.integers(-2, 40))
    def read_all_since_a_revision(self, back: int) -> None:
        since = self.revision - back
        kept = zip(self.records[self.start :], self.revisions[self.start :], strict=True)
        expected = [record for record, revision in kept if revision >= since]
        assert self.journal.since(since) == (expected, True)

    @rule(back=st.integers(-2, 40), limit=st.integers(1, 10))
    def read_since_a_revision_in_parts(self, back: int, limit: int) -> None:
        since = self.revision - back
        every, _ = self.journal.since(since)
        found: list[Record] = []
        at_end = False
        while not at_end:
            records, at_end = self.journal.since(since, limit)
            assert records or at_end
            if records:
                first = self.revisions[self.start + self.index_of(records[0])]
                last = self.revisions[self.start + self.index_of(records[-1])]
                assert len(records) <= limit or first == last  # only one transaction may exceed it
                since = last + 1
            found += records
        assert found == every

    def index_of(self, record: Record) -> int:
        """Find the very object among those kept; its revision orders it."""
        return next(i for i, each in enumerate(self.records[self.start :]) if each is record)

    @invariant()
    def it_keeps_what_the_model_keeps(self) -> None:
        journal, kept = self.journal, self.records[self.start :]
        assert list(journal) == kept
        assert len(journal) == len(kept)
        assert journal.end == len(self.records)
        assert journal.size == self.size
        assert journal.last_revision == self.revision
        if kept:
            assert journal.start == self.start
            assert journal.first_revision == self.revisions[self.start]
            assert journal[0] is kept[0]
            assert journal[-1] is kept[-1]
        assert journal.forgotten == (self.revisions[self.start - 1] if self.start else 0)

    @invariant()
    def it_keeps_its_bounds(self) -> None:
        assert len(self.journal) <= self.max_events
        assert self.journal.size <= self.max_bytes or len(self.journal) == 1

    @invariant()
    def it_holds_no_memory_for_what_is_forgotten(self) -> None:
        listed = len(self.journal._records)
        assert listed <= max(2 * len(self.journal) + 2, len(self.journal) + 1002)


Model.TestCase.settings = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=25,
    stateful_step_count=25,
)
test_the_journal_agrees_with_its_model = Model.TestCase


def test_an_empty_journal_has_no_revisions() -> None:
    journal = Journal()
    assert (journal.first_revision, journal.last_revision, journal.forgotten) == (0, 0, 0)
    assert list(journal) == []
    assert journal.since(1) == ([], True)
    with pytest.raises(IndexError):
        journal[0]


@pytest.mark.parametrize(("events", "size"), [(0, 1), (1, 0), (-5, 1)])
def test_a_journal_without_room_is_refused(events: int, size: int) -> None:
    with pytest.raises(ValueError, match="needs room"):
        Journal(events, size)


def test_the_newest_record_is_kept_whatever_its_size() -> None:
    journal = Journal(max_bytes=10)
    journal.append(transaction(1, size=1000))
    journal.append(transaction(2, size=5000))
    assert [each.revision for each in journal.events()] == [2]


def test_forgetting_frees_the_memory_of_the_record_at_once() -> None:
    journal = Journal(max_events=1)
    journal.append(transaction(1, size=10))
    journal.append(transaction(2, size=10))
    held = [each for each in journal._records if isinstance(each, Event)]
    assert [each.revision for each in held] == [2]


def test_a_transaction_of_which_a_part_is_forgotten_counts_as_forgotten() -> None:
    journal = Journal(max_events=2)
    journal.append(transaction(7, count=3))
    assert journal.forgotten == journal.first_revision == 7


def test_events_are_found_by_key_and_by_prefix() -> None:
    journal = Journal()
    journal.append([event(1, "a/b"), event(2, "a"), Gap(3, 4, "lost"), event(5, "b")])
    assert [each.revision for each in journal.events()] == [1, 2, 5]
    assert [each.revision for each in journal.events(b"b")] == [5]
    assert [each.revision for each in journal.events("a")] == [2]
    assert [each.revision for each in journal.events("a", prefix=True)] == [1, 2]
    assert journal.events("nobody") == []


def test_iterating_is_not_disturbed_by_what_is_appended_meanwhile() -> None:
    journal = Journal(max_events=2)
    journal.append([event(1), event(2)])
    seen = []
    for record in journal:
        seen.append(record)
        journal.append([event(journal.last_revision + 1)])
    assert seen == [event(1), event(2)]


def test_a_cursor_that_stood_still_counts_what_it_missed() -> None:
    journal = Journal(max_events=2)
    cursor = journal.cursor()
    journal.append([event(revision) for revision in range(1, 6)])
    assert cursor.behind == 5
    assert cursor.read() == [event(4), event(5)]
    assert cursor.missed == 3
    journal.append([event(6)])
    assert cursor.read() == [event(6)]
    assert cursor.missed == 3
    assert cursor.behind == 0


def test_a_waiting_reader_is_woken_by_an_append() -> None:
    journal = Journal()
    cursor = journal.cursor()
    thread, results = in_thread(lambda: cursor.wait(PATIENCE))
    journal.append([event(1)])
    thread.join(PATIENCE)
    assert results == [True]
    assert cursor.read() == [event(1)]


def test_a_waiting_reader_is_woken_by_close() -> None:
    journal = Journal()
    thread, results = in_thread(lambda: journal.wait(0, PATIENCE))
    journal.close()
    thread.join(PATIENCE)
    assert results == [True]
    assert journal.closed


def test_waiting_ends_with_false_when_nothing_came() -> None:
    journal = Journal()
    journal.append([event(1)])
    assert journal.wait(0, 0) is True
    assert journal.wait(1, 0) is False
    assert journal.wait(1, 0.01) is False


def test_readers_of_a_busy_journal_see_every_record_once_and_in_order() -> None:
    journal = Journal()
    last = 3000
    found: list[list[int]] = [[], []]

    def read(into: list[int], cursor: Cursor) -> None:
        while not into or into[-1] < last:
            cursor.wait(PATIENCE)
            into.extend(each.revision for each in cursor.read(7) if isinstance(each, Event))

    threads = [
        threading.Thread(target=read, args=(into, journal.cursor()), daemon=True) for into in found
    ]
    for thread in threads:
        thread.start()
    for revision in range(1, last + 1):
        journal.append([event(revision)])
    for thread in threads:
        thread.join(PATIENCE)
    assert found == [list(range(1, last + 1))] * 2


def test_the_table_lists_events_gaps_and_lost_connections() -> None:
    journal = Journal()
    journal.append(
        [
            Status("connected"),
            event(2, "nokia", "hello"),
            Status("reconnecting", reason="refused"),
            Status("connected"),
            Gap(3, 4, "compacted"),
            event(5, "nokia", "again")._replace(synthetic=True),
            event(6, "nokia", None)._replace(expired=True, lease=77),
        ]
    )
    assert journal.table().splitlines() == [
        "revision  type          key    value",
        "2         PUT           nokia  hello",
        "          RECONNECTING         refused",
        "3 to 4    GAP                  compacted",
        "5         PUT*          nokia  again",
        "6         EXPIRE        nokia",
    ]


def test_the_table_shows_the_last_records_and_counts_those_before() -> None:
    journal = Journal()
    journal.append([event(revision) for revision in range(1, 1100)])
    lines = journal.table(last=2).splitlines()
    assert lines[0] == "… 1,097 earlier records"
    assert [line.split()[0] for line in lines[2:]] == ["1098", "1099"]


def test_the_repr_counts_and_has_neither_time_nor_address() -> None:
    journal = Journal(max_events=3)
    assert repr(journal) == "Journal(0 events)"
    journal.append([event(1)])
    assert repr(journal) == "Journal(1 event)"
    journal.append([Gap(2, 3, "lost"), event(3), event(4)])
    assert repr(journal) == "Journal(2 events, 1 gap, 1 earlier record forgotten)"


def test_the_table_escapes_what_could_play_tricks_on_a_terminal() -> None:
    journal = Journal()
    raw = b"\x1b[2J\n\xff\xe2\x80\xae"
    journal.append([event(1, raw, raw), Gap(2, 3, "\x1b[2J\u202e")])
    for line in journal.table().splitlines():
        assert line.isprintable()
    assert re.search(r"\\x1b\[2J\\n\\udcff\\u202e", journal.table())


def test_each_record_tells_when_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(max_events=1500)
    for second in range(4000):  # far enough to forget, and to cut what is forgotten
        monkeypatch.setattr("etcd_watcher.journal.time.time", lambda second=second: float(second))
        journal.append(transaction(second + 1, 2))
    records, times, after = journal.read_timed(0)
    assert after == 8000
    assert len(records) == 1500
    assert all(
        isinstance(record, Event) and time == record.revision - 1
        for record, time in zip(records, times, strict=True)
    )
    records, times, after = journal.read_timed(7001, 2)
    assert (times, after) == ([3500.0, 3501.0], 7003)
    assert journal.read_timed(8000) == ([], [], 8000)


# Taps.


class Tap:
    def __init__(self) -> None:
        self.taken: list[tuple[list[Record], float]] = []
        self.closed = self.anew = 0

    def begin_anew(self) -> None:
        self.anew += 1

    def take(self, records: Sequence[Record], at: float) -> None:
        self.taken.append((list(records), at))

    def close(self) -> None:
        self.closed += 1


def test_a_tap_sees_what_is_appended_until_it_ends() -> None:
    journal = Journal()
    journal.append(transaction(1))
    tap = Tap()
    end = journal.tap(tap)
    journal.append(transaction(2, 3))
    journal.append([])
    end()
    journal.append(transaction(3))
    journal.close()
    ((records, at),) = tap.taken
    assert (records, [at] * 3) == (transaction(2, 3), journal.read_timed(1, 3)[1])
    assert tap.closed == 0


def test_a_tap_is_told_that_revisions_begin_anew() -> None:
    journal = Journal()
    tap = Tap()
    journal.tap(tap)
    journal.append(transaction(5))
    assert tap.anew == 0
    journal.begin_anew()
    assert tap.anew == 1


def test_a_tap_is_told_of_the_end() -> None:
    journal = Journal()
    tap = Tap()
    journal.tap(tap)
    journal.close()
    journal.close()
    assert tap.closed == 1


# Stable text.


def leased(record: Record, lease: int) -> Record:
    assert isinstance(record, Event)
    return record._replace(lease=lease)


def test_the_stable_table_names_revisions_and_leases_as_they_come() -> None:
    def told(revision: int, lease: int, lost: int) -> Journal:
        journal = Journal()
        (put,) = transaction(revision)
        journal.append([leased(put, lease)])
        journal.append(transaction(revision + 1, 2))
        journal.append([Gap(revision + 2, revision + lost, f"dropped before {revision + lost}")])
        journal.append([Status("reconnecting", "http://one:2379", f"port {revision} refused")])
        (gone,) = transaction(revision + 9)
        journal.append([leased(gone, lease + 1)])
        return journal

    table = told(5, 7587869134444201987, 4).table(stable=True)
    assert table == told(1005, 3, 7).table(stable=True)
    assert table.splitlines() == [
        "revision  type          key    value             lease",
        "r1        PUT           key-0                    L1",
        "r2        PUT           key-0",
        "r2        PUT           key-1",
        "…         GAP                  dropped before …",
        "          RECONNECTING",
        "r3        PUT           key-0                    L2",
    ]


def test_the_stable_table_of_the_last_records_names_them_as_the_whole_one_does() -> None:
    journal = Journal()
    for revision in range(1, 6):
        journal.append(transaction(revision))
    assert journal.table(2, stable=True).splitlines()[0] == "… 3 earlier records"
    assert journal.table(2, stable=True).splitlines()[2].startswith("r4")


@pytest.mark.parametrize("stable", [False, True])
def test_a_table_says_whose_a_gap_is(stable: bool) -> None:  # noqa: FBT001
    journal = Journal()
    journal.append([Gap(3, 4, "compacted", "Luis"), Gap(5, 6, "compacted")])
    first, second = journal.table(stable=stable).splitlines()[1:]
    assert "GAP of Luis" in first
    assert "of" not in second
