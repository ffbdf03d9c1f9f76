"""Whether a server has no more to tell of the past, or is still reading it."""

from __future__ import annotations

import time

__all__ = ["KNOCK", "KNOCK_EVERY", "QUIET_KNOCKS", "Knocks"]

KNOCK = 0
"""Where a watcher begins that is made for its acknowledgement alone: this takes the lock under which
the server reads for those who are behind. To ask for progress does not, and a round may take long:
for 500,000 revisions seconds."""

QUIET_KNOCKS = 16
KNOCK_EVERY = 0.02
"""While nothing comes we knock, so many seconds after an answer; after so many answers in a row we
take it that there is no more: the server begins a round every 0.1 s."""


class Knocks:
    """Counts the answers to our knocks since the last change."""

    def __init__(self) -> None:
        self._answers = 0
        self._knocked = 0.0
        """When we did so last."""
        self._rest = 0.0
        """Until when the server may rest, which is as long as it has just read."""

    def knock(self) -> None:
        """Note that we knock now."""
        self._knocked = time.monotonic()

    def answer(self) -> None:
        """Note that we are answered."""
        self._answers, now = self._answers + 1, time.monotonic()
        self._rest = max(self._rest, 2 * now - self._knocked)

    def begin_anew(self) -> None:
        """Note that changes have come, or were asked for."""
        self._answers = 0

    @property
    def are_in_vain(self) -> bool:
        """Whether nothing more is to be expected."""
        return self._answers >= QUIET_KNOCKS and time.monotonic() >= self._rest
