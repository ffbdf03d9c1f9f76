"""Mailboxes that are soon too small."""

from __future__ import annotations

import pytest

from etcd_watcher import catchup, mailbox

BOUND = 4
"""Events that a mailbox holds then."""


def lag_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have mailboxes lag early, and catch up in small steps."""
    monkeypatch.setattr(mailbox, "MAILBOX_EVENTS", BOUND)
    monkeypatch.setattr(catchup, "CHUNK", 3)
    monkeypatch.setattr(catchup, "RETRY", 0.01)
