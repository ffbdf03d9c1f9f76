"""How much time a request still has."""

from __future__ import annotations

import time

__all__ = ["seconds_left"]

LEAST = 0.001
"""Seconds. None at all is no limit to some who are asked, and an error to others."""


def seconds_left(deadline: float) -> float:
    """Give the seconds until a moment of the monotonic clock, and more than none behind it."""
    return max(LEAST, deadline - time.monotonic())
