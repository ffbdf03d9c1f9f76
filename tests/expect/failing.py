"""What a person reads of an expectation that fails."""

from __future__ import annotations

import pytest

from etcd_watcher import Watcher
from etcd_watcher.errors import ExpectationFailed
from etcd_watcher.expect import AnyOrder, Change

SOON = 0.02
"""Seconds to wait for what does not come."""


def failure(
    watcher: Watcher,
    *steps: Change | AnyOrder,
    nothing_else: bool | str = False,
    since: int | None = None,
) -> list[str]:
    """Give the lines of the failure of an expectation."""
    watcher.sync()
    with pytest.raises(ExpectationFailed) as caught:
        watcher.expect(*steps, within=SOON, nothing_else=nothing_else, since=since)
    return str(caught.value).splitlines()
