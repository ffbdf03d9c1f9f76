"""What Timeline tells its page."""

from __future__ import annotations

import json
from typing import Any

import pytest
import traitlets
from traitlets import TraitError

from etcd_watcher.event import Event, Gap, Record, Status
from etcd_watcher.watcher import Watcher
from etcd_watcher.widgets import EventLog, Timeline
from etcd_watcher.widgets.base import LiveWidget
from tests.fake_store import event

Sent = list[tuple[LiveWidget, dict[str, Any]]]


class Clock:
    """The time of the journal and of the widget, and the seconds that pass."""

    now = 1000.0

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("etcd_watcher.widgets.timeline.time.time", lambda: self.now)
        monkeypatch.setattr("etcd_watcher.widgets.timeline.time.monotonic", lambda: self.now)

    def keep(self, watcher: Watcher, *records: Record) -> None:
        watcher.journal.append(list(records))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def draw(line: Timeline, sent: Sent) -> dict[str, Any]:
    sent.clear()
    line.draw(0.0)
    message = sent[0][1] if sent else {}
    json.dumps(message, allow_nan=False).encode("ascii")
    return message


def changes(count: int, key: str = "a", value: str = "x") -> list[Event]:
    return [event(number + 1, key, value) for number in range(count)]


def test_it_begins_with_what_the_journal_has_of_the_window(
    fake_watcher: Watcher, sent: Sent, clock: Clock
) -> None:
    clock.keep(fake_watcher, *changes(3, "old"))
    clock.now += 100
    clock.keep(fake_watcher, *changes(2, "new"))
    message = draw(Timeline(fake_watcher, seconds=60), sent)
    assert [(row["key"], row["total"]) for row in message["rows"]] == [("all keys", 2), ("new", 2)]
    assert message["order"] == [0, 1]
    assert message["length"] == 0.5


def test_only_what_has_changed_is_told_and_a_few_times_a_second(
    fake_watcher: Watcher, sent: Sent, clock: Clock
) -> None:
    line = Timeline(fake_watcher)
    clock.keep(fake_watcher, *changes(1, "a"), *changes(1, "b"))
    draw(line, sent)
    told = []
    for _ in range(10):
        clock.now += 0.05
        clock.keep(fake_watcher, *changes(2, "a"))
        told.append(draw(line, sent))
    assert 2 <= sum(bool(each) for each in told) <= 3
    last = next(each for each in reversed(told) if each)
    assert [row["key"] for row in last["rows"]] == ["all keys", "a"]
    assert all(len(row["counts"]) <= 2 for row in last["rows"])
    clock.now += 1
    draw(line, sent)
    assert line._series.all.total == 22


def test_the_pieces_of_a_row_are_counted_exactly(
    fake_watcher: Watcher, sent: Sent, clock: Clock
) -> None:
    line = Timeline(fake_watcher, seconds=60)
    counts: dict[int, int] = {}
    for step in range(100):
        clock.now += 0.1
        clock.keep(fake_watcher, *changes(step % 4))
        for row in draw(line, sent).get("rows", []):
            if row["key"] == "a":
                counts |= dict(row["counts"])
    clock.now += 1
    for row in draw(line, sent).get("rows", []):
        counts |= dict(row["counts"])
    assert sum(counts.values()) == sum(step % 4 for step in range(100))


def test_numbers_are_told_as_a_curve(fake_watcher: Watcher, sent: Sent, clock: Clock) -> None:
    line = Timeline(fake_watcher)
    clock.keep(fake_watcher, event(1, "t", "20.5"))
    draw(line, sent)
    clock.now += 1
    clock.keep(fake_watcher, event(2, "t", "30"), event(3, "t", "21"))
    clock.now += 1
    row = draw(line, sent)["rows"][-1]
    assert row["curve"]
    assert [numbers for _, *numbers in row["numbers"]] == [[21.0, 30.0, 21.0]]
    assert row["value"] == "21"


def test_only_the_busiest_keys_have_rows(fake_watcher: Watcher, sent: Sent, clock: Clock) -> None:
    for number in range(20):
        clock.keep(fake_watcher, *changes(number + 1, f"k{number:02d}"))
    message = draw(Timeline(fake_watcher, rows=3), sent)
    assert [row["key"] for row in message["rows"]] == ["all keys", "k17", "k18", "k19"]
    assert message["others"] == 17
    assert message["rows"][0]["total"] == 210


def test_gaps_and_lost_connections_are_marked(
    fake_watcher: Watcher, sent: Sent, clock: Clock
) -> None:
    line = Timeline(fake_watcher)
    draw(line, sent)
    clock.keep(fake_watcher, Gap(1, 2, "x"), Status("reconnecting"), Status("connected"))
    clock.now += 1
    assert [what for _, what in draw(line, sent)["marks"]] == ["gap", "connection lost"]
    clock.now += 1
    assert draw(line, sent) == {}


def test_it_follows_the_choice_of_keys(fake_watcher: Watcher, sent: Sent, clock: Clock) -> None:
    clock.keep(fake_watcher, *changes(1, "a/1"), *changes(1, "b/1"))
    line = Timeline(fake_watcher)
    draw(line, sent)
    line.within = "a/"
    assert [row["key"] for row in draw(line, sent)["rows"]] == ["all keys", "a/1"]
    line.within, line.only = "", "b/1"
    assert [row["key"] for row in draw(line, sent)["rows"]] == ["all keys", "b/1"]


def test_what_is_marked_selects_in_the_log(fake_watcher: Watcher, sent: Sent, clock: Clock) -> None:
    clock.keep(fake_watcher, *changes(1, "before"))
    clock.now += 10
    clock.keep(fake_watcher, *changes(1, "within"))
    line, log = Timeline(fake_watcher), EventLog(fake_watcher)
    traitlets.link((line, "between"), (log, "between"))
    line.set_state({"between": [clock.now - 1, clock.now + 1]})
    assert [each.key for each in log.records if isinstance(each, Event)] == ["within"]
    line.set_trait("between", None)
    assert len(log.records) == 2


def test_hostile_keys_are_plain_text(fake_watcher: Watcher, sent: Sent, clock: Clock) -> None:
    clock.keep(
        fake_watcher, event(1, b"\x1b<b>\xff", b"\0" * 1000), event(2, b"x" * 10**6, b"\xff")
    )
    message = draw(Timeline(fake_watcher), sent)
    assert all(row["key"].isprintable() and len(row["key"]) <= 80 for row in message["rows"])


@pytest.mark.parametrize(
    "settings", [{"seconds": 1}, {"rows": 0}, {"between": (2.0,)}, {"between": (2.0, 1.0)}]
)
def test_a_setting_that_cannot_be_is_refused(
    fake_watcher: Watcher, settings: dict[str, Any]
) -> None:
    with pytest.raises(TraitError):
        Timeline(fake_watcher, **settings)


def test_nothing_that_comes_from_etcd_is_in_a_trait(
    fake_watcher: Watcher, sent: Sent, clock: Clock
) -> None:
    clock.keep(fake_watcher, *changes(1, "secret"))
    line = Timeline(fake_watcher)
    draw(line, sent)
    assert "secret" not in str(line.get_state())
