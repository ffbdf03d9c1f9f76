"""Servers and stores of etcd v3 that several tests of stores use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from etcd_watcher.local import LocalEtcd
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_database import DatabaseCopy
from etcd_watcher.stores.v3_history import Segments
from etcd_watcher.stores.v3_lineage import Reading
from etcd_watcher.stores.v3_segments import Piece
from tests.conftest import present
from tests.stores.v3_past import TIMEOUT, mixed, write


@pytest.fixture
def server(any_version: str) -> Iterator[LocalEtcd]:
    """A server of the test's own."""
    with LocalEtcd(version=any_version) as made:
        yield made


@pytest.fixture(scope="module", params=["3.4", "3.5"])
def past(request: pytest.FixtureRequest) -> Iterator[LocalEtcd]:
    """A server with a long and mixed past, of the module's `REVISIONS`, which nobody changes."""
    with LocalEtcd(version=present(request.param)) as made:
        write(made, mixed(request.module.REVISIONS))
        yield made


@pytest.fixture
def connect() -> Iterator[Callable[..., V3Store]]:
    """Open stores, and close them in the end."""
    stores: list[V3Store] = []

    def opened(server: LocalEtcd, **options: Any) -> V3Store:
        stores.append(V3Store([server.url], **options))
        stores[-1].connect(TIMEOUT)
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(server: LocalEtcd, connect: Callable[..., V3Store]) -> V3Store:
    """A store of that server."""
    return connect(server)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> dict[type, int]:
    """How many pieces came by each way."""
    counts: dict[type, int] = {DatabaseCopy: 0, Segments: 0}
    for way in (DatabaseCopy, Segments):

        def counted(
            self: Reading,
            pieces: Callable[[Any], Iterator[tuple[Piece, int]]] = way.pieces,
            way: type = way,
        ) -> Iterator[tuple[Piece, int]]:
            for taken in pieces(self):
                counts[way] += 1
                yield taken

        monkeypatch.setattr(way, "pieces", counted)
    return counts
