"""Stores whose first endpoint may fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores.v3 import V3Store
from tests.stores.v3_failing.failures import TIMEOUT


@pytest.fixture
def store(etcd: LocalEtcd) -> Iterator[V3Store]:
    with closing(V3Store([etcd.url, etcd.url], credentials=Credentials())) as made:
        yield made


@pytest.fixture
def two(etcd: LocalEtcd) -> Iterator[V3Store]:
    """Give a store of two names of the same server."""
    other = etcd.url.replace("127.0.0.1", "localhost")
    with closing(V3Store([etcd.url, other], credentials=Credentials())) as made:
        yield made


@pytest.fixture
def paused_first(etcd: LocalEtcd) -> Iterator[V3Store]:
    """Give a store whose first endpoint does not answer, and whose second does."""
    with (
        LocalEtcd() as paused,
        closing(V3Store([paused.url, etcd.url], credentials=Credentials())) as made,
    ):
        assert made.revision(TIMEOUT) == 1
        paused.pause()
        yield made
