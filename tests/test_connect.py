"""Closing all parts of a watcher: one deadline for all that does not end at once."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from etcd_watcher import connect


class Clock:
    """Time that goes by only where somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(connect, "time", made)
    return made


def parts(**given: Any) -> list[Any]:
    """Give a watcher's parts, which are done at once but for those given."""
    registry = Mock(mailboxes=Mock(return_value=[]))
    mine: dict[str, Any] = {"feed": Mock(), "store": Mock(), "pool": Mock(), "registry": registry}
    return [*(mine | given).values(), Mock(), Mock(), Mock(), os.getpid()]


def test_a_stuck_feed_and_a_stuck_callback_are_waited_for_together(clock: Clock) -> None:
    stuck = SimpleNamespace(close=clock.pass_by)
    connect.shut_down(*parts(feed=stuck, pool=stuck))
    assert clock.now == connect.CLOSE_TIMEOUT


def test_a_callback_has_all_the_time_that_the_others_left(clock: Clock) -> None:
    store, pool = Mock(close=lambda: clock.pass_by(0.25)), Mock()
    connect.shut_down(*parts(store=store, pool=pool))
    pool.close.assert_called_once_with(connect.CLOSE_TIMEOUT - 0.25)


def test_a_store_that_takes_longer_leaves_no_time_at_all(clock: Clock) -> None:
    store, pool = Mock(close=lambda: clock.pass_by(5)), Mock()
    connect.shut_down(*parts(store=store, pool=pool))
    pool.close.assert_called_once_with(0.0)
