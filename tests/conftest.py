"""Real etcd servers for all tests, a store in memory, and a look at what a test leaves behind."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from etcd_watcher import Watcher
from etcd_watcher.errors import NoBinary
from etcd_watcher.local import LocalEtcd
from etcd_watcher.local.binary import find_binary
from tests.fake_store import PATIENCE, FakeStore
from tests.threads import threads_left

# A drawn example may take as long as a busy machine needs. (The environments for tests/compat have no
# hypothesis.)
with contextlib.suppress(ImportError):
    from hypothesis import settings

    settings.register_profile("patient", settings(), deadline=None)
    settings.load_profile("patient")

# `make test &` in a script starts us with SIGINT ignored, and Python leaves that as it is: the tests
# that interrupt themselves, and the programs that they start, would then wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _serve(version: str, **options: Any) -> Iterator[LocalEtcd]:
    with LocalEtcd(version=present(version), **options) as server:
        yield server


def present(version: str) -> str:
    """Skip where this machine has no such etcd; in CI, which must have both, fail."""
    try:
        find_binary(version)
    except NoBinary as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    return version


@pytest.fixture(scope="session")
def etcd() -> Iterator[LocalEtcd]:
    """An etcd 3.5 that all tests share: use `fresh_key`, and do not stop or pause it."""
    yield from _serve("3.5")


@pytest.fixture(scope="session")
def etcd_34() -> Iterator[LocalEtcd]:
    """An etcd 3.4 (Debian's etcd-server) that all tests share."""
    yield from _serve("3.4")


@pytest.fixture(scope="module")
def secure() -> Iterator[LocalEtcd]:
    """One that speaks TLS."""
    yield from _serve("3.5", tls=True)


@pytest.fixture(scope="module")
def exclusive() -> Iterator[LocalEtcd]:
    """One that wants to see a client's certificate."""
    yield from _serve("3.5", tls=True, client_cert=True)


@pytest.fixture(params=["3.4", "3.5"])
def any_version(request: pytest.FixtureRequest) -> str:
    """Run the test once for each version that we support, for servers of its own."""
    return present(request.param)


@pytest.fixture
def any_etcd(any_version: str, request: pytest.FixtureRequest) -> LocalEtcd:
    """Run the test once on each of the shared servers."""
    server = request.getfixturevalue({"3.4": "etcd_34", "3.5": "etcd"}[any_version])
    assert isinstance(server, LocalEtcd)
    return server


@pytest.fixture
def fresh_key() -> str:
    """A key that no other test uses, to be the test's prefix on a shared server."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
def store() -> FakeStore:
    """A store in memory, where a test does not need etcd."""
    return FakeStore()


@pytest.fixture
def watcher(store: FakeStore) -> Iterator[Watcher]:
    """A watcher of that store."""
    with Watcher(store, request_timeout=PATIENCE) as made:
        yield made
    assert threads_left() == []


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Have Python switch between threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread of ours or a child process behind."""
    for shared in {"any_etcd", "etcd", "etcd_34"} & set(request.fixturenames):
        request.getfixturevalue(shared)  # a shared server started by now is no leak
    before = _running()
    yield
    left = _running() - before
    assert not left, f"left behind: {left}"


def _running() -> set[str]:
    threads = {f"thread {each.name} ({each.ident})" for each in threading.enumerate()}
    processes = psutil.Process().children(recursive=True)
    return {name for name in threads if "etcd_watcher-" in name} | {
        f"process {each.pid} ({each.name()})" for each in processes
    }
