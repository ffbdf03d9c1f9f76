"""Mailboxes that are small, and a clock that stands still."""

from __future__ import annotations

import pytest

from etcd_watcher import mailbox as module
from tests.mailbox.parts import BOUND, Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make mailboxes lag behind a few events."""
    monkeypatch.setattr(module, "MAILBOX_EVENTS", BOUND)
