"""Whether the other side of a connection is still there: when to ask for a sign of life."""

from __future__ import annotations

import time

from etcd_watcher.stores import http2_frames as h2

__all__ = ["Pulse"]

QUIET = 1.0
"""Seconds of silence after which a sign of life is asked for: a server from which much comes, and then
nothing, is soon missed."""

SELDOM = 5.1
"""Seconds from asking for a sign of life to the next. More often than every 5 s etcd takes it for an
attack, and hangs up."""

SIGN_OF_LIFE = 2.0
"""Seconds in which it has to come."""


class Pulse:
    """The signs of life of one connection. Who reads it has this, and nobody else."""

    def __init__(self) -> None:
        self._heard = time.monotonic()
        self._asked = 0.0
        """When a sign of life was asked for that has not come; 0 for none."""
        self._may_ask = 0.0
        """When the next may be asked for."""

    @property
    def due(self) -> float:
        """When there is to be a sign of life, or one is to be asked for."""
        if self._asked:
            return self._asked + SIGN_OF_LIFE
        return max(self._heard + QUIET, self._may_ask)

    def hear(self, now: float) -> None:
        """Note that something came."""
        self._heard, self._asked = now, 0.0

    def ask(self) -> bytes:
        """Give what asks for a sign of life.

        Raises
        ------
        TimeoutError
            It was asked for, and did not come.
        """
        if self._asked:
            raise TimeoutError("no answer to a sign of life")
        self._asked = time.monotonic()
        self._may_ask = self._asked + SELDOM
        return h2.frame(h2.PING, content=b"anybody?")
