"""Going elsewhere in a replay."""

from __future__ import annotations

import pytest

from etcd_watcher import Event, Gap, Watcher
from tests.fake_store import event
from tests.recording.replay.parts import Make, puts


def state(watcher: Watcher) -> dict[str, str | None]:
    """Give what a reader of the journal believes."""
    found: dict[str, str | None] = {}
    for each in watcher.journal.events():
        found[each.key] = each.value
    return {key: value for key, value in found.items() if value is not None}


def test_seek_brings_every_key_to_its_value_at_that_moment(play: Make) -> None:
    records = [
        event(2, "a", "1"),
        event(3, "b", "1"),
        event(4, "a", None, prev=b"1"),
        event(5, "c", "1"),
        event(6, "b", "2", prev=b"1"),
        event(7, "c", None, prev=b"1"),
    ]
    moments = {1: {}, 2: {"a": "1"}, 3: {"a": "1", "b": "1"}, 4: {"b": "1"}}
    moments |= {5: {"b": "1", "c": "1"}, 6: {"b": "2", "c": "1"}, 7: {"b": "2"}}
    watcher = play(records)
    told: dict[str, str | None] = {}

    @watcher.on("", prefix=True)
    def keep(event: Event) -> None:
        told[event.key] = event.value

    watcher.add_key("", prefix=True)
    for revision in [4, 2, 7, 1, 6, 3, 3, 5, 7, 1]:
        watcher.replay.seek(revision)
        watcher.sync()
        there = {key: value for key, value in told.items() if value is not None}
        assert state(watcher) == there == moments[revision]
        assert watcher.revision == revision
        for key in "abc":
            assert watcher.get(key) == moments[revision].get(key)


def test_what_is_passed_over_is_a_gap_and_what_is_told_instead_is_synthetic(play: Make) -> None:
    watcher = play(puts(9))
    watcher.add_key("a")
    watcher.replay.seek(5)
    watcher.sync()
    watcher.replay.seek(3)
    watcher.sync()
    forward, put_5, back, put_3 = watcher.journal
    assert forward == Gap(2, 5, "the replay was set forward")
    assert back == Gap(4, 5, "the replay was set back")
    assert isinstance(put_5, Event)
    assert isinstance(put_3, Event)
    assert (put_5.value, put_5.synthetic, put_5.action) == ("5", True, "seek")
    assert (put_3.value, put_3.revision, put_3.prev_value) == ("3", 3, "5")


def test_it_plays_on_from_where_it_was_set(play: Make) -> None:
    watcher = play(puts(9))
    told: list[str | None] = []
    watcher.on("a")(lambda event: told.append(event.value))
    watcher.replay.seek(8)
    watcher.replay.play()
    watcher.sync()
    assert told == ["8", "9", "10"]
    watcher.replay.seek(0)
    watcher.sync()
    assert told[3:] == [None]
    watcher.replay.play()
    watcher.sync()
    assert told[4:] == [*map(str, range(2, 11))]


def test_seconds_are_as_good_as_a_revision(play: Make) -> None:
    watcher = play(puts(9), speed=1)
    watcher.add_key("a")
    watcher.replay.seek(seconds=4.5)
    watcher.sync()
    assert (watcher.get("a"), watcher.replay.seconds) == ("6", 4.5)


def test_subscribers_of_the_middle_hear_what_is_played_again(play: Make) -> None:
    watcher = play(puts(9))
    watcher.add_key("a")
    watcher.replay.step(5)
    watcher.sync()
    told: list[str | None] = []
    watcher.on("a")(lambda event: told.append(event.value))
    watcher.replay.seek(3)
    watcher.replay.step()
    watcher.sync()
    assert told == ["3", "4"]


def test_beyond_the_end_is_the_end_and_before_the_beginning_is_nothing(play: Make) -> None:
    watcher = play(puts(3))
    watcher.add_key("a")
    for revision in (-1, 1.5, "2", True):
        with pytest.raises(ValueError, match=r"seek\(.*\): give a whole number, 0 or more"):
            watcher.replay.seek(revision)  # type: ignore[arg-type]
    for seconds in (-1, "2", True, float("nan")):
        with pytest.raises(ValueError, match=r"seek\(seconds=.*\): give a number of seconds"):
            watcher.replay.seek(seconds=seconds)  # type: ignore[arg-type]
    watcher.replay.seek(10**6)
    watcher.sync()
    assert watcher.get("a") == watcher.journal.events("a")[-1].value
    assert watcher.replay.position == len(watcher.replay.steps)
