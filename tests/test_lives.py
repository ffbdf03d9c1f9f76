"""Who exists, who has gone, and who has still to hear of it."""

from __future__ import annotations

import pytest

from etcd_watcher.keys import KeyRange
from etcd_watcher.lives import Lives


def everybody(_: bytes) -> bool:
    return True


def test_a_key_lives_from_its_put_to_its_deletion() -> None:
    lives = Lives()
    lives.put(b"a", 2)
    lives.put(b"b", 3)
    assert list(lives) == [b"a", b"b"]
    lives.delete(b"a", 4, 0)
    assert list(lives) == [b"b"]
    assert len(lives) == 1


def test_only_those_who_lag_have_graves_kept_for_them() -> None:
    lives = Lives()
    lives.put(b"a", 2)
    lives.put(b"b", 3)
    lives.delete(b"a", 4, lagging_since=0)
    lives.delete(b"b", 5, lagging_since=5)
    assert lives.gone(5, 9, everybody) == [b"b"]
    lives.forget_graves()
    assert lives.gone(5, 9, everybody) == []


def test_a_life_that_began_behind_everybody_counts_too() -> None:
    # They may be told of its beginning by the journal, and then lose sight of its end.
    lives = Lives()
    lives.put(b"a", 7)
    lives.delete(b"a", 8, lagging_since=5)
    assert lives.gone(5, 9, everybody) == []
    assert lives.gone(8, 9, everybody) == [b"a"]


def test_gone_is_who_was_there_before_and_died_in_between() -> None:
    lives = Lives()
    for key, born, died in ((b"early", 2, 4), (b"within", 3, 7), (b"late", 3, 12)):
        lives.put(key, born)
        lives.delete(key, died, lagging_since=20)
    lives.put(b"there", 3)
    assert lives.gone(5, 10, everybody) == [b"within"]
    assert lives.gone(4, 12, everybody) == [b"early", b"within", b"late"]
    assert lives.gone(4, 12, lambda key: key == b"late") == [b"late"]


def test_each_life_of_a_key_counts() -> None:
    lives = Lives()
    for born, died in ((2, 4), (6, 8)):
        lives.put(b"k", born)
        lives.delete(b"k", died, lagging_since=20)
    assert lives.gone(3, 5, everybody) == [b"k"]
    assert lives.gone(7, 9, everybody) == [b"k"]
    assert lives.gone(5, 5, everybody) == []


def test_a_key_that_is_set_anew_goes_on_living() -> None:
    # v2's set begins a new life in the middle of the old one, and nobody is told of an end.
    lives = Lives()
    lives.put(b"k", 2)
    lives.put(b"k", 6)
    lives.delete(b"k", 8, lagging_since=20)
    assert lives.gone(5, 9, everybody) == [b"k"]


def test_a_census_adds_who_was_there_before() -> None:
    lives = Lives()
    lives.begin_census()
    lives.count(b"k", 3)
    lives.end_census()
    assert list(lives) == [b"k"]


def test_a_census_does_not_bring_back_who_was_deleted_since_it_looked() -> None:
    lives = Lives()
    lives.begin_census()
    lives.delete(b"k", 9, 0)
    lives.count(b"k", 3)
    assert list(lives) == []
    lives.count(b"k", 10)  # a later life
    assert list(lives) == [b"k"]


def test_who_is_not_watched_any_more_is_forgotten() -> None:
    lives = Lives()
    for key in (b"a", b"ab", b"b"):
        lives.put(key, 1)
    assert lives.within(KeyRange.of_key(b"a")) == [b"a"]
    assert lives.within(KeyRange.of_prefix(b"a")) == [b"a", b"ab"]
    assert lives.within(KeyRange.of_key(b"c")) == []
    lives.forget(b"a")
    assert list(lives) == [b"ab", b"b"]


def test_graves_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etcd_watcher.lives.MOST_GRAVES", 2)
    lives = Lives()
    for number in range(3):
        lives.put(b"%d" % number, 1)
        lives.delete(b"%d" % number, 5, lagging_since=9)
    assert lives.gone(2, 9, everybody) == [b"0", b"1"]
