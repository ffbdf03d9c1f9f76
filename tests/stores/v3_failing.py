"""Servers that fail, or say what a failing one would, at a chosen moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_connection import Connection


@pytest.fixture
def store(etcd: LocalEtcd) -> Iterator[V3Store]:
    with closing(V3Store([etcd.url, etcd.url], credentials=Credentials())) as made:
        yield made


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


@pytest.fixture
def two(etcd: LocalEtcd) -> Iterator[V3Store]:
    """Give a store of two names of the same server."""
    other = etcd.url.replace("127.0.0.1", "localhost")
    with closing(V3Store([etcd.url, other], credentials=Credentials())) as made:
        yield made
