"""A limit of time that a machine which stands still does not break."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

TICK = 0.01


class Clock:
    """Counts the seconds in which this process was let run: no pause is longer than two ticks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._over.wait(TICK):
            now = time.monotonic()
            self.seconds += min(now - last, 2 * TICK)
            last = now

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


@contextlib.contextmanager
def sooner_than(seconds: float) -> Iterator[None]:
    """Fail where what is within takes that long, apart from what the machine takes itself.

    What waits for its own time to be up shows by that; what is merely slow on a busy machine, or in
    one that was halted, does not.
    """
    clock = Clock()
    try:
        yield
    finally:
        clock.stop()
    assert clock.seconds < seconds
