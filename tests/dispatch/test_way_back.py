"""What goes wrong on a mailbox's way back to the live events."""

from __future__ import annotations

import threading

import pytest

from etcd_watcher.dispatch import WorkerPool
from etcd_watcher.errors import ConnectionFailed, StoreClosed
from etcd_watcher.mailbox import Mailbox
from tests.dispatch.boxes import Box, comes_true
from tests.fake_store import PATIENCE


def lose_the_way_back(pool: WorkerPool, error: Exception) -> None:
    """Have the mailbox of Luis lag, and its way back fail, which closes it."""

    def refill(_: Mailbox) -> None:
        raise error

    box = Box(pool, print, "Luis")
    box.mailbox._refill = refill  # type: ignore[assignment]  # its argument has no name
    box.mailbox.lag_from = 1
    box.put()
    assert comes_true(lambda: not box.mailbox.scheduled, pool)
    assert box.mailbox.closed


def test_a_mailbox_whose_way_back_is_gone_is_closed_and_logged(
    pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    lose_the_way_back(pool, ConnectionFailed("gone"))
    assert "'Luis' gets no more events" in caplog.text
    assert pool.settle(9, PATIENCE) == []


def test_a_mailbox_whose_watcher_is_closed_ends_without_a_word(
    pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    lose_the_way_back(pool, StoreClosed("closed"))
    assert caplog.records == []


def test_a_defect_on_the_way_back_ends_that_mailbox_and_no_worker(
    pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    lose_the_way_back(pool, ZeroDivisionError("a defect"))
    assert "ZeroDivisionError: a defect" in caplog.text
    told = threading.Event()
    Box(pool, lambda _: told.set()).put(1)
    assert told.wait(PATIENCE)
