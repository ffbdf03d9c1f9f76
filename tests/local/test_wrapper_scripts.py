"""An `etcd` that is a script goes with all that came of it, whoever ends first."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from etcd_watcher.local import LocalCluster, LocalEtcd, StartFailed
from etcd_watcher.local.binary import find_binary
from tests.eventually import eventually

IsGone = Callable[[int], bool]
Wrap = Callable[[str], Path]

pytestmark = pytest.mark.usefixtures("no_leaks")

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives us orphans")
EXEC = 'exec {} "$@"'
CHILD = '{} "$@"'
OWN_SESSION = pytest.param('setsid {} "$@"', marks=LINUX)


@pytest.fixture
def wrap(tmp_path: Path) -> Wrap:
    """Make an `etcd` that is a script around the real one, which stands in the line as `{}`."""

    def write(line: str) -> Path:
        real, program = find_binary("3.5").path, tmp_path / "etcd"
        version = f"[ $1 != --version ] || exec {real} --version"
        program.write_text(f"#!/bin/sh\n{version}\n{line.format(real)}\n")
        program.chmod(0o755)
        return program

    return write


@pytest.fixture
def nothing_is_left(temp_dir: Path) -> Iterator[None]:
    """Look for servers that have their data in this test's own directory, and for files."""

    def still_there() -> list[psutil.Process]:
        return [
            each
            for each in psutil.process_iter(["cmdline"])
            if f"--data-dir={temp_dir}" in " ".join(each.info["cmdline"] or [])
        ]

    yield
    try:
        assert eventually(lambda: still_there() == [])
        assert list(temp_dir.iterdir()) == []
    finally:
        for each in still_there():
            each.kill()


def tree_of(etcd: LocalEtcd) -> list[int]:
    """Give the processes that came of the program that was run."""
    program = psutil.Process(etcd.pid)
    return [each.pid for each in (program, *program.children(recursive=True))]


def guardian_of(etcd: LocalEtcd) -> psutil.Process:
    guardian = psutil.Process(etcd.pid).parent()
    assert guardian is not None
    return guardian


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("line", [EXEC, CHILD, OWN_SESSION])
def test_a_script_goes_with_the_server_behind_it(line: str, wrap: Wrap, is_gone: IsGone) -> None:
    with LocalEtcd(binary=wrap(line)) as etcd:
        first = tree_of(etcd)
        etcd.put("nokia", "hello")
        etcd.restart()
        assert etcd.get("nokia") == "hello"
        assert all(map(is_gone, first))


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("line", [CHILD, OWN_SESSION])
def test_a_script_that_is_killed_takes_the_server_along(
    line: str, wrap: Wrap, is_gone: IsGone
) -> None:
    with LocalEtcd(binary=wrap(line)) as etcd:
        etcd.put("nokia", "hello")
        before = tree_of(etcd)
        os.kill(before[0], signal.SIGKILL)
        assert eventually(lambda: all(map(is_gone, before)))
        etcd.start()
        assert etcd.get("nokia") == "hello"


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("line", ['{} "$@" &', pytest.param('setsid {} "$@" &', marks=LINUX)])
def test_a_script_that_leaves_its_server_behind_has_failed(line: str, wrap: Wrap) -> None:
    with pytest.raises(StartFailed, match="ended before it was ready"):
        LocalEtcd(binary=wrap(line))


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("asked", [True, False])
def test_a_killed_guardian_takes_a_scripts_server_along(
    wrap: Wrap, is_gone: IsGone, *, asked: bool
) -> None:
    etcd = LocalEtcd(binary=wrap(CHILD))
    before, guardian = tree_of(etcd), guardian_of(etcd)
    guardian.kill()
    assert eventually(lambda: is_gone(guardian.pid))
    if asked:
        assert not etcd.running
        assert eventually(lambda: all(map(is_gone, before)))
    etcd.stop()


@pytest.mark.usefixtures("nothing_is_left")
def test_the_end_of_one_server_leaves_another_its_children(wrap: Wrap) -> None:
    with LocalCluster(binary=wrap(CHILD)) as cluster:
        cluster.faults.kill("m1")
        cluster.put("nokia", "hello")
        cluster.faults.restart("m1")
        assert cluster.get("nokia") == "hello"
