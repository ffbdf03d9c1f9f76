"""Copies of a server's database that are not what the server has sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from etcd_watcher.stores import wire
from etcd_watcher.stores.v3 import V3Store

Alter = Callable[[Iterable[bytes]], Iterable[bytes]]
"""Makes other blobs of those that come; the last is the hash."""


class Altered:
    """The call of a copy."""

    def __init__(self, call: Any, alter: Alter) -> None:
        self._call, self._alter = call, alter

    def cancel(self) -> None:
        self._call.cancel()

    def __iter__(self) -> Iterator[Any]:
        for blob in self._alter(response.blob for response in self._call):
            yield wire.SnapshotResponse(blob=blob)


def alter_copies(monkeypatch: pytest.MonkeyPatch, alter: Alter) -> None:
    """Have every copy that a store is sent from now on altered."""
    connect = V3Store._connect

    def altering(store: V3Store, endpoint: str) -> Any:
        connection = connect(store, endpoint)
        begin = connection.database.begin
        connection.database = SimpleNamespace(
            begin=lambda *given, **more: Altered(begin(*given, **more), alter)
        )
        return connection

    monkeypatch.setattr(V3Store, "_connect", altering)
