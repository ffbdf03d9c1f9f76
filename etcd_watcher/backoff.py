"""How long to wait between tries: not at all while there are endpoints yet to try, then ever longer."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["LAST_BACKOFF", "RETRY", "Backoff"]

FIRST_BACKOFF = 0.05
LAST_BACKOFF = 2.0
"""Seconds between tries to reconnect: the first, doubling, and the longest, each with jitter."""

RETRY = 0.2
"""Seconds between tries of a read that can wait while the server is away."""


class Backoff:
    """Counts failures in a row, and says how long to wait after them.

    Parameters
    ----------
    endpoints : int
        How many there are: each is tried once before the first wait.
    jitter : callable
        Gives a factor, 0.5 to 1, for each wait: clients that lost their server together shall not
        all come back together.
    """

    def __init__(
        self,
        endpoints: int,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),  # noqa: S311 - no secret
    ) -> None:
        self._endpoints = endpoints
        self._jitter = jitter
        self.failures = 0

    def reset(self) -> None:
        """Begin anew: it works again."""
        self.failures = 0

    def fail(self) -> float:
        """Count a failure, and give the seconds to wait for."""
        self.failures += 1
        rounds = self.failures // self._endpoints - 1
        if rounds < 0:
            return 0.0
        doubled: float = FIRST_BACKOFF * 2 ** min(rounds, 10)
        return min(LAST_BACKOFF, doubled) * self._jitter()
