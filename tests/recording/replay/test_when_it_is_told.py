"""The pace of a replay, and who waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from etcd_watcher import Event, Status, Watcher
from etcd_watcher.errors import ExpectationFailed
from etcd_watcher.expect import put
from tests.fake_store import PATIENCE, event
from tests.recording.replay.parts import Make, puts


def test_nothing_is_told_until_somebody_plays_or_waits(play: Make) -> None:
    watcher = play(puts(3))
    told: list[int] = []
    watcher.on("a")(lambda event: told.append(event.revision))
    assert repr(watcher.replay) == "Replay('lesson.jsonl', paused, 0 of 3 steps)"
    assert (watcher.get("a"), watcher.revision, told) == (None, 1, [])
    watcher.sync()
    assert told == [2, 3, 4]
    assert repr(watcher.replay) == "Replay('lesson.jsonl', finished, 3 of 3 steps)"
    assert watcher.replay.finished
    watcher.sync()


@pytest.mark.parametrize(
    "wait",
    [
        lambda watcher: watcher.wait_for("a", lambda event: event.value == "4"),
        lambda watcher: watcher.expect(put("a", "4")),
        lambda watcher: watcher.expect(*[put("a")] * 3, nothing_else=True),
        lambda watcher: asyncio.run(watcher.sync_async()),
    ],
)
def test_each_way_to_wait_plays(play: Make, wait: Callable[[Watcher], object]) -> None:
    watcher = play(puts(3))
    watcher.add_key("a")
    wait(watcher)
    assert watcher.revision == 4


def test_it_is_played_at_the_pace_at_which_it_was_recorded(play: Make) -> None:
    watcher = play([*puts(3), event(5, "a")], speed=20)
    watcher.add_key("a")
    begun = time.time()
    watcher.sync()
    times = watcher.journal.read_timed(0)[1]
    # Never sooner; later is the machine's affair.
    assert all(at - begun > 0.05 * number - 0.005 for number, at in enumerate(times))
    assert watcher.replay.duration == 3.0


def test_the_pace_may_change_on_the_way(play: Make) -> None:
    watcher = play(puts(4), speed=0.001)
    watcher.add_key("a")
    watcher.replay.play()
    watcher.wait_for("a")
    assert watcher.replay.playing
    watcher.replay.speed = "max"
    watcher.sync()
    assert watcher.revision == 5
    assert not watcher.replay.playing


def test_without_a_pause_it_can_be_paused_and_slowed_down(play: Make) -> None:
    watcher = play(puts(100))

    @watcher.on("a")
    def slow_down(event: Event) -> None:
        if event.revision == 20:
            watcher.replay.pause()
        if event.revision == 40:
            watcher.replay.speed = 0.001

    watcher.sync()
    assert watcher.revision == 20
    watcher.replay.play()
    watcher.wait_for("a", lambda event: event.revision == 40)
    with pytest.raises(TimeoutError, match="at 39 of 100 steps"):
        watcher.sync(0.05)


def test_sync_that_has_not_enough_time_says_how_much_it_takes(play: Make) -> None:
    watcher = play(puts(100), speed=1)
    watcher.add_key("a")
    with pytest.raises(TimeoutError, match=r"at 1 of 100 steps, and at speed 1 it takes 9\d\.\d s"):
        watcher.sync(timeout=0.05)


def test_pause_and_play(play: Make) -> None:
    watcher = play(puts(100), speed=100)
    told: list[int] = []

    @watcher.on("a")
    def pause(event: Event) -> None:
        told.append(event.revision)
        if event.revision == 20:
            watcher.replay.pause()

    watcher.sync()
    assert told[-1] == watcher.revision == 20
    assert repr(watcher.replay) == "Replay('lesson.jsonl', paused, 19 of 100 steps)"
    watcher.sync()
    assert told[-1] == 20
    watcher.replay.play("max")
    watcher.sync()
    assert told == list(range(2, 102))


def test_step_tells_one_transaction_at_a_time(play: Make) -> None:
    records = [event(2, "a"), event(2, "b"), Status("reconnecting"), event(3, "a"), event(4, "a")]
    watcher = play(records)
    watcher.add_key(["a", "b"])
    for begin, end in [(0, 2), (2, 3), (3, 4)]:
        assert watcher.replay.step() == records[begin:end]
        watcher.sync()
        assert list(watcher.journal) == records[:end]
    assert watcher.replay.step(9) == records[4:]
    assert watcher.replay.step() == []
    watcher.sync()
    assert list(watcher.journal) == records


def test_steps_may_be_taken_faster_than_callbacks_return(play: Make) -> None:
    watcher = play(puts(10))
    go_on = threading.Event()
    told: list[int] = []

    @watcher.on("a")
    def slow(event: Event) -> None:
        go_on.wait(PATIENCE)
        told.append(event.revision)

    for _ in range(4):
        watcher.replay.step()
    go_on.set()
    watcher.sync()
    assert told == [2, 3, 4, 5]


def test_a_wait_ends_when_the_replay_does(play: Make) -> None:
    watcher = play(puts(3))
    watcher.add_key("a")
    with pytest.raises(TimeoutError, match="until the replay ended there was no event of 'a'"):
        watcher.wait_for("a", lambda event: event.value == "9", timeout=PATIENCE * 10)
    with pytest.raises(ExpectationFailed, match="did not come before the replay ended: put 'a'"):
        watcher.expect(put("a", "9"), within=PATIENCE * 10)
    watcher.replay.seek(2)
    with pytest.raises(ExpectationFailed, match="did not come before the replay was paused"):
        watcher.expect(put("a", "9"), within=PATIENCE * 10)
