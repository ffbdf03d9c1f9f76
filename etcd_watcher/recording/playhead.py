"""How far a replay may be by now: the clock that a person starts, stops and sets."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from etcd_watcher.arguments import is_whole

__all__ = ["Playhead", "check_seconds", "check_speed", "check_whole"]


def check_speed(speed: object) -> float:
    """Check how many times as fast as it was recorded something is to be played."""
    if speed == "max":
        return math.inf
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not speed > 0:
        raise ValueError(
            f'speed={speed!r}: give a number above 0 (1 is the pace of the recording), or "max"'
        )
    return float(speed)


def check_whole(what: str, number: object, least: int) -> None:
    """Check a whole number."""
    if not is_whole(number, least):
        raise ValueError(f"{what}({number!r}): give a whole number, {least} or more")


def check_seconds(seconds: object) -> None:
    """Check a time from the beginning."""
    number = seconds if isinstance(seconds, int | float) else -1
    if isinstance(seconds, bool) or not 0 <= number < math.inf:
        raise ValueError(f"seek(seconds={seconds!r}): give a number of seconds, 0 or more")


class Playhead:
    """A clock in seconds of the recording. Not locked: whoever shares it brings the lock.

    Parameters
    ----------
    speed : float
        Its seconds in one of ours; infinite for a clock that is at the end at once.
    now : callable
        Gives our seconds.
    """

    def __init__(self, speed: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._speed = speed
        self._from = 0.0
        self._since: float | None = None
        """When it was started, by our clock; None while it stands."""

    @property
    def running(self) -> bool:
        return self._since is not None

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._from = self.read()
        self._since = self._now() if self.running else None
        self._speed = speed

    def read(self) -> float:
        """Give the time of the recording that is reached."""
        if self._since is None:
            return self._from
        passed = self._now() - self._since
        return self._from + passed * self._speed if passed else self._from

    def run(self) -> None:
        """Start the clock."""
        if self._since is None:
            self._since = self._now()

    def stop(self) -> None:
        """Stop the clock."""
        self._from, self._since = self.read(), None

    def set(self, seconds: float) -> None:
        """Set the clock; running or not, it stays so."""
        self._from = seconds
        self._since = self._now() if self.running else None

    def wait(self, due: float) -> float:
        """Give our seconds until something is due: 0 where it is, infinite where the clock stands."""
        if not self.running:
            return math.inf
        return 0.0 if self._speed == math.inf else max(0.0, (due - self.read()) / self._speed)
