"""A watcher on each API, of a server that tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from etcd_watcher import LocalEtcd, Watcher


@pytest.fixture(params=["v2", "v3"])
def api(request: pytest.FixtureRequest) -> str:
    """Run the test once on each of etcd's APIs."""
    return str(request.param)


@pytest.fixture
def watcher(etcd: LocalEtcd, api: str) -> Iterator[Watcher]:
    """A watcher of the shared server."""
    with Watcher(etcd.url, api=api) as made:
        yield made


class News:
    """A subscriber that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None]] = []

    def tell(self, key: str, value: str | None) -> None:
        self.told.append((key, value))

    @property
    def values(self) -> list[str | None]:
        return [value for _, value in self.told]


@pytest.fixture
def news() -> News:
    return News()
