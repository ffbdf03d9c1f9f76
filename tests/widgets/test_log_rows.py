"""Which rows a log has: against the journal, while it grows, forgets and is looked at anew."""

from __future__ import annotations

import random

import pytest

from etcd_watcher.event import Event, Gap, Status
from etcd_watcher.journal import Journal, Record
from etcd_watcher.widgets import log_rows
from etcd_watcher.widgets.filters import Filter
from etcd_watcher.widgets.log_rows import LogRows, Missed, Row
from tests.fake_store import event

ALL = Filter()
EVER = 1000.0


def shown(log: LogRows) -> list[Row]:
    return log.rows(0, 10**9)


def records(log: LogRows) -> list[Record | Missed]:
    return [row.record for row in shown(log)]


def revisions(log: LogRows) -> list[int]:
    return [each.revision for each in records(log) if isinstance(each, Event)]


def keep(journal: Journal, *revisions: int, key: str = "k", size: int = 1) -> None:
    for revision in revisions:
        journal.append([event(revision, f"{key}{place}") for place in range(size)])


def up_to_date(journal: Journal) -> LogRows:
    """Give a log that has what the journal holds."""
    log = LogRows(journal, ALL)
    log.advance(EVER)
    return log


def test_it_begins_with_what_the_journal_holds_and_goes_on() -> None:
    journal = Journal()
    keep(journal, 1, 2)
    log = LogRows(journal, ALL)
    assert log.advance(EVER)
    assert revisions(log) == [1, 2]
    assert not log.advance(EVER)
    keep(journal, 3)
    assert log.advance(EVER)
    assert revisions(log) == [1, 2, 3]
    assert [row.number for row in shown(log)] == [0, 1, 2]
    assert log.read["created"] == 3


def test_paused_it_stands_still_and_then_misses_nothing() -> None:
    journal = Journal()
    keep(journal, 1, 2)
    log = up_to_date(journal)
    log.pause()
    keep(journal, *range(3, 1000))
    assert not log.advance(EVER)
    assert revisions(log) == [1, 2]
    assert log.behind == 997
    log.resume()
    log.advance(EVER)
    assert revisions(log) == list(range(1, 1000))
    assert log.missed == 0


def test_what_it_shows_while_paused_stays_although_the_journal_forgets_it() -> None:
    journal = Journal(max_events=10)
    keep(journal, *range(1, 11))
    log = up_to_date(journal)
    log.pause()
    keep(journal, *range(11, 31))
    log.advance(EVER)
    assert revisions(log) == list(range(1, 11))
    log.show(Filter(key="k0"))
    log.advance(EVER)
    assert revisions(log) == list(range(1, 11)), "another filter finds them, too"


def test_what_the_journal_forgot_before_it_was_read_is_a_row_that_says_so() -> None:
    journal = Journal(max_events=10)
    keep(journal, *range(1, 6))
    log = up_to_date(journal)
    log.pause()
    keep(journal, *range(6, 31))
    log.resume()
    log.advance(EVER)
    assert records(log)[0] == Missed(15)
    assert revisions(log) == list(range(21, 31))
    assert log.missed == 15
    log.show(Filter(key="k"))
    log.advance(EVER)
    assert records(log)[0] == Missed(15), "another filter still tells"
    keep(journal, 31)
    log.advance(EVER)
    assert revisions(log) == list(range(22, 32))
    assert not any(isinstance(each, Missed) for each in records(log)), "it has gone by"
    assert log.missed == 15


def test_rows_that_the_journal_forgot_are_gone_and_the_others_keep_their_numbers() -> None:
    journal = Journal(max_events=10)
    log = LogRows(journal, ALL)
    for revision in range(1, 31):
        keep(journal, revision)
        log.advance(EVER)
    assert (log.first, log.end) == (20, 30)
    assert [row.number for row in shown(log)] == list(range(20, 30))
    assert revisions(log) == list(range(21, 31))
    assert log.missed == 0


def test_a_row_that_is_forgotten_while_it_is_asked_for_is_left_out() -> None:
    journal = Journal(max_events=10)
    keep(journal, *range(1, 11))
    log = up_to_date(journal)
    keep(journal, 11, 12)
    assert revisions(log) == list(range(3, 11)), "before the next advance"


def test_another_filter_looks_at_everything_again_and_counts_nothing_twice() -> None:
    journal = Journal()
    keep(journal, *range(1, 11), key="a")
    keep(journal, *range(11, 21), key="b")
    log = up_to_date(journal)
    log.show(Filter(key="b"))
    log.advance(EVER)
    assert revisions(log) == list(range(11, 21))
    assert (log.epoch, log.first, log.end) == (1, 0, 10)
    assert sum(log.read.values()) == 20
    log.show(Filter(key="b"))
    assert log.epoch == 1, "the same filter is no change"
    keep(journal, 21, key="b")
    log.advance(EVER)
    assert revisions(log) == list(range(11, 22))


def test_a_long_look_is_cut_into_pieces_that_go_on_where_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_rows, "CHUNK", 7)
    journal = Journal()
    keep(journal, *range(1, 30), size=3)
    log = LogRows(journal, ALL)
    steps = 0
    while log.busy:
        assert log.advance(0)
        assert {row.of for row in shown(log)} == {3}, "never a part of a transaction"
        steps += 1
    assert steps > 3
    assert revisions(log) == [revision for revision in range(1, 30) for _ in range(3)]


def test_the_changes_of_one_transaction_know_their_place() -> None:
    journal = Journal()
    keep(journal, 1)
    keep(journal, 2, size=3)
    journal.append([Status("reconnecting")])
    keep(journal, 3, 4, size=2)
    log = up_to_date(journal)
    assert [(row.place, row.of) for row in shown(log)] == [
        *[(1, 1), (1, 3), (2, 3), (3, 3), (1, 1), (1, 2), (2, 2), (1, 2), (2, 2)]
    ]
    log.show(Filter(key="k1"))
    log.advance(EVER)
    assert [(row.place, row.of) for row in shown(log)][:2] == [(2, 3), (1, 1)], (
        "whatever the filter leaves of it"
    )


def test_what_a_resync_makes_is_no_transaction() -> None:
    journal = Journal()
    keep(journal, 5, size=2)
    made = [event(5, f"k{place}")._replace(synthetic=True) for place in range(3)]
    journal.append([Gap(6, 9, "compacted"), *made])
    log = up_to_date(journal)
    assert [(row.place, row.of) for row in shown(log)] == [(1, 2), (2, 2), *[(1, 1)] * 4]


def test_whatever_happens_it_shows_what_the_journal_has() -> None:
    """Random growth, forgetting, pauses and filters, against a simple model."""
    for seed in range(30):
        chance = random.Random(seed)  # noqa: S311 - not for secrets
        journal = Journal(max_events=chance.choice([5, 50, 1000]))
        log = LogRows(journal, ALL)
        now = ALL
        revision = 0
        for _ in range(200):
            match chance.randrange(5):
                case 0 | 1:
                    for _ in range(chance.randrange(20)):
                        revision += 1
                        keep(journal, revision, key=chance.choice("ab"), size=chance.choice([1, 3]))
                case 2:
                    now = chance.choice([ALL, Filter(key="a"), Filter(key="b1")])
                    log.show(now)
                case 3:
                    log.pause() if chance.random() < 0.5 else log.resume()
                case _:
                    log.advance(chance.choice([0, EVER]))
            if not log.paused:
                log.advance(EVER)
                held = [each for each in journal if now.shows(each, 0.0)]
                assert [each for each in records(log) if not isinstance(each, Missed)] == held
                assert sum(log.read.values()) + log.missed == journal.end
