"""A person's Ctrl-C in the middle of a request: the connection does not suffer."""

from __future__ import annotations

import pytest

from etcd_watcher import LocalEtcd, Watcher
from etcd_watcher.stores import http2

LARGE = "x" * 300_000
"""More than a server lets us send at once."""


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_writes_that_are_interrupted_leave_room_for_others(
    etcd: LocalEtcd, fresh_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Watcher(etcd.url, api="v3") as watcher:
        for _ in range(8):  # each had counted as sent what was not
            with monkeypatch.context() as patch:
                patch.setattr(http2, "part", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    watcher.put(fresh_key, LARGE)
        watcher.put(fresh_key, "and then")
        assert watcher.get(fresh_key) == "and then"
