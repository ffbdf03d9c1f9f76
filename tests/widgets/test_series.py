"""How often keys change, and what numbers they hold."""

from __future__ import annotations

import pytest

from etcd_watcher.widgets import series as series_module
from etcd_watcher.widgets.series import AllSeries, KeySeries, Numbers, as_number
from tests.fake_store import event


def of(series: AllSeries, key: str) -> KeySeries:
    return next(each for each in series if each.raw == key.encode())


def test_changes_are_counted_in_pieces_of_time() -> None:
    series = AllSeries(0.5)
    for came in [10.0, 10.1, 10.6, 12.0]:
        series.note(event(1, "a"), came)
    series.note(event(1, "b"), 10.2)
    assert of(series, "a").counts == {20: 2, 21: 1, 24: 1}
    assert series.all.counts == {20: 3, 21: 1, 24: 1}
    assert (of(series, "a").total, series.all.total) == (4, 5)


def test_what_leaves_the_window_is_forgotten_and_so_are_keys_that_are_quiet() -> None:
    series = AllSeries(1.0)
    series.note(event(1, "a", "1"), 10.0)
    series.note(event(1, "b", "1"), 10.0)
    series.note(event(1, "b", "2"), 20.0)
    series.forget_before(15.0)
    assert [each.raw for each in series] == [b"b"]
    assert of(series, "b").counts == {20: 1}
    assert of(series, "b").numbers == {20: (2.0, 2.0, 2.0)}
    assert series.all.counts == {20: 1}


def test_a_peak_between_two_numbers_of_a_piece_is_kept() -> None:
    series = AllSeries(1.0)
    for number, value in enumerate(["20", "24.5", "-3", "21"]):
        series.note(event(number + 1, "a", value), 10.0 + number / 10)
    assert of(series, "a").numbers == {10: Numbers(low=-3.0, high=24.5, last=21.0)}


def test_numbers_make_a_curve_until_a_word_comes() -> None:
    series = AllSeries(1.0)
    series.note(event(1, "a", "20.5"), 10.0)
    assert not of(series, "a").is_curve, "one point is no curve"
    series.note(event(2, "a", "21"), 11.0)
    series.note(event(3, "a", None), 11.5)
    assert of(series, "a").is_curve, "a deletion is no word"
    series.note(event(4, "a", "warm"), 12.0)
    assert not of(series, "a").is_curve
    series.forget_before(13.0)
    for second in (13, 14):
        series.note(event(5, "a", "22"), second)
    assert of(series, "a").is_curve, "the word is out of the window"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (b"12", 12.0),
        (b" -1.5e3\n", -1500.0),
        (b"", None),
        (b"nan", None),
        (b"inf", None),
        (b"1,5", None),
        (b"0x10", None),
        (b"\xff", None),
        (b"1" * 50, None),
    ],
)
def test_what_a_number_is(value: bytes, number: float | None) -> None:
    assert as_number(value) == number


def test_the_busiest_keys_are_shown_by_name_and_stay_while_they_are_nearly_so() -> None:
    series = AllSeries(1.0)
    for key, changes in [("c", 5), ("a", 4), ("b", 3), ("d", 1)]:
        for _ in range(changes):
            series.note(event(1, key), 10.0)
    shown = series.busiest(3, [])
    assert [each.raw for each in shown] == [b"a", b"b", b"c"]
    for _ in range(3):
        series.note(event(1, "d"), 10.0)
    assert [each.raw for each in series.busiest(3, shown)] == [b"a", b"b", b"c"]
    for _ in range(9):
        series.note(event(1, "d"), 10.0)
    assert [each.raw for each in series.busiest(3, shown)] == [b"a", b"c", b"d"]


def test_however_many_keys_there_are_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_module, "MOST_KEYS", 10)
    series = AllSeries(1.0)
    for number in range(100):
        series.note(event(1, f"k{number}", "x" * 1000), 10.0)
    assert len(series) == 10
    assert series.all.total == 100
    assert all(len(each.value or b"") <= 200 for each in series)
