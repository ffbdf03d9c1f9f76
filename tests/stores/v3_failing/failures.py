"""Calls that fail, or say what a failing server would, at a chosen moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection

TIMEOUT = 10.0


class Scripted:
    """A call that fails as it is told to, then goes on as before."""

    def __init__(self, call: Any, *failures: Exception) -> None:
        self._call, self._failures = call, list(failures)
        self.calls = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        if self._failures:
            raise self._failures.pop(0)
        return self._call(*arguments, **options)


def always(connection: Connection, failure: Exception) -> Callable[..., Any]:
    """Give a call that fails so each time it is made on a connection, whatever is asked."""
    given = Connection.call

    def call(self: Connection, *arguments: Any) -> Any:
        if self is connection:
            raise failure
        return given(self, *arguments)

    return call


def begun(
    store: V3Store, monkeypatch: pytest.MonkeyPatch, name: str, *, soon: bool = False
) -> threading.Event:
    """Tell when a request of a kind is on its way, or is to be soon."""
    sent = threading.Event()
    calls = store.connection().calls
    given = calls[name]

    def call(*arguments: Any, **options: Any) -> Any:
        if soon:
            sent.set()
        call = given.begin(*arguments, **options)
        sent.set()
        return call.result()

    monkeypatch.setitem(calls, name, call)
    return sent
