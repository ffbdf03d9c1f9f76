"""The clock of a replay."""

from __future__ import annotations

import math

import pytest

from etcd_watcher.recording.playhead import Playhead, check_speed


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_stands_until_it_is_started(clock: Clock) -> None:
    head = Playhead(2.0, clock)
    clock.now += 5
    assert (head.read(), head.running, head.wait(0.0)) == (0.0, False, math.inf)
    head.run()
    clock.now += 5
    assert (head.read(), head.running) == (10.0, True)
    assert head.wait(10.0) == 0.0
    assert head.wait(14.0) == 2.0


def test_stopping_and_setting_it(clock: Clock) -> None:
    head = Playhead(1.0, clock)
    head.run()
    clock.now += 3
    head.stop()
    clock.now += 3
    assert head.read() == 3.0
    head.set(1.0)
    clock.now += 3
    assert head.read() == 1.0
    head.run()
    head.run()
    head.set(7.0)
    clock.now += 1
    assert head.read() == 8.0


def test_another_speed_counts_from_now_on(clock: Clock) -> None:
    head = Playhead(1.0, clock)
    head.run()
    clock.now += 3
    head.speed = 10.0
    clock.now += 1
    assert head.read() == 13.0
    head.stop()
    head.speed = 1.0
    assert (head.read(), head.running) == (13.0, False)


def test_without_a_pause_everything_is_due_while_it_runs(clock: Clock) -> None:
    head = Playhead(math.inf, clock)
    assert head.wait(1e9) == math.inf
    head.run()
    assert (head.wait(1e9), head.read()) == (0.0, 0.0)
    clock.now += 1
    head.speed = 1.0
    assert head.wait(5.0) in (0.0, 5.0)


def test_speeds() -> None:
    assert (check_speed("max"), check_speed(2), check_speed(0.5)) == (math.inf, 2.0, 0.5)
    for wrong in (0, -1, True, "fast", None, float("nan")):
        with pytest.raises(ValueError, match="speed="):
            check_speed(wrong)
