"""How long a test draws: a moment by default, minutes in `make slow`.

In CI hypothesis draws the same examples each time (its profile "ci" is derandomized); elsewhere new
ones each time, and it keeps those that failed in `.hypothesis`.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

__all__ = ["drawn", "patient"]


def drawn(few: int, many: int) -> pytest.MarkDecorator:
    """Run a test with `few` examples, and in `make slow` with `many`."""
    slow = pytest.param(many, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])
    return pytest.mark.parametrize("examples", [few, slow])


def patient(examples: int) -> settings:
    """Give settings for a busy machine and real servers, where nothing has to be quick."""
    return settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=examples)
