"""Which endpoints have lately not answered, so that others are asked before them."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["REMEMBERED", "Absences"]

REMEMBERED = 5.0
"""Seconds for which others are asked first. So long etcd takes until it ends the watch of a member
without a leader, and a feed then uses another. Where there is no feed, each request would first wait
for it again."""


class Absences:
    """Remembers for a while who did not answer. For any thread.

    Parameters
    ----------
    clock : callable
        Gives the seconds of a clock that only goes on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        """By endpoint; each is set and removed in one step."""

    def note(self, endpoint: str) -> None:
        """Note that an endpoint did not answer."""
        self._until[endpoint] = self._clock() + REMEMBERED

    def forget(self, endpoint: str) -> None:
        """Note that it does."""
        self._until.pop(endpoint, None)

    def __contains__(self, endpoint: str) -> bool:
        return self._clock() < self._until.get(endpoint, 0.0)
