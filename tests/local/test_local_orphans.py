"""However the owner ends: no server, no guardian, no file is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.local import LocalEtcd
from tests.eventually import eventually

IsGone = Callable[[int], bool]

ROOT = Path(__file__).parents[2]

START = """
    import json, os, signal, sys, threading, time
    import psutil
    from etcd_watcher.local import LocalEtcd
    # In a script, `pytest &` starts us with SIGINT ignored, and Python leaves that as it is.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    etcd = LocalEtcd()
    etcd.put("nokia", "hello")
    def tell():
        processes = psutil.Process().children(recursive=True)
        print(json.dumps({"pids": [each.pid for each in processes]}), flush=True)
"""


class Owner:
    """Another interpreter, which owns a `LocalEtcd` and tells which processes came of it.

    It waits, where it has to, for the end of its standard input, and so goes with the test run.
    """

    def __init__(self, code: str, temp_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(START) + textwrap.dedent(code)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(temp_dir), "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )

    def told(self) -> list[int]:
        assert self.process.stdout is not None
        pids = json.loads(self.process.stdout.readline())["pids"]
        assert isinstance(pids, list)
        return pids

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def own(temp_dir: Path) -> Iterator[Callable[[str], Owner]]:
    owners: list[Owner] = []

    def start(code: str) -> Owner:
        owners.append(Owner(code, temp_dir))
        return owners[-1]

    yield start
    for owner in owners:
        owner.close()


Own = Callable[[str], Owner]


@pytest.fixture
def nothing_is_left(temp_dir: Path, is_gone: IsGone) -> Callable[..., None]:
    def check(pids: list[int], *, at_least: int = 2) -> None:
        assert len(pids) >= at_least  # a guardian and its etcd
        assert eventually(lambda: all(map(is_gone, pids)))
        assert eventually(lambda: list(temp_dir.iterdir()) == [])

    return check


@pytest.mark.parametrize(
    "end",
    [
        "sys.exit()",
        pytest.param("1 / 0", marks=pytest.mark.slow),
        "os._exit(3)",
        pytest.param("os.abort()", marks=pytest.mark.slow),
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.execv('/bin/true', ['true'])",
    ],
)
def test_nothing_is_left_when_the_owner_ends_by(
    end: str, own: Own, nothing_is_left: Callable[..., None]
) -> None:
    owner = own(f"tell(); {end}")
    nothing_is_left(owner.told())


@pytest.mark.parametrize("before", ["etcd.kill()", "etcd.pause()", "etcd.restart()", "pass"])
def test_kill_9_leaves_nothing_after(
    before: str, own: Own, nothing_is_left: Callable[..., None]
) -> None:
    owner = own(f"{before}; tell(); sys.stdin.read()")
    pids = owner.told()
    owner.process.kill()
    nothing_is_left(pids, at_least=1 if "kill" in before else 2)


def test_kill_9_in_the_middle_of_a_start_leaves_nothing(
    own: Own, nothing_is_left: Callable[..., None]
) -> None:
    owner = own(
        """
        import etcd_watcher.local.single as single
        def forever(*_):
            tell()
            sys.stdin.read()
        single.is_healthy = forever
        LocalEtcd()
        """
    )
    pids = owner.told()
    owner.process.kill()
    nothing_is_left(pids, at_least=4)


def test_kill_9_leaves_nothing_of_a_cluster(own: Own, nothing_is_left: Callable[..., None]) -> None:
    owner = own(
        """
        from etcd_watcher.local import LocalCluster
        cluster = LocalCluster()
        cluster.faults.pause("m1")
        cluster.faults.kill("m2")
        cluster.faults.isolate("m3", clients=True)
        tell()
        sys.stdin.read()
        """
    )
    pids = owner.told()
    owner.process.kill()
    nothing_is_left(pids, at_least=6)


@pytest.mark.parametrize("step", ["network.listen", "member.launch", "is_healthy"])
def test_kill_9_in_the_middle_of_a_clusters_start_leaves_nothing(
    step: str, own: Own, nothing_is_left: Callable[..., None]
) -> None:
    owner = own(
        f"""
        from etcd_watcher.local import LocalCluster, ensemble
        from etcd_watcher.local.member import Member
        from etcd_watcher.local.network import Network
        def forever(*_, **__):
            tell()
            sys.stdin.read()
        home, name = {{
            "network.listen": (Network, "listen"),
            "member.launch": (Member, "launch"),
            "is_healthy": (ensemble, "is_healthy"),
        }}[{step!r}]
        setattr(home, name, forever)
        LocalCluster()
        """
    )
    pids = owner.told()
    owner.process.kill()
    nothing_is_left(pids, at_least=4)


@pytest.mark.parametrize(
    "fork",
    [
        "child = os.fork() or sys.stdin.read()",
        """
from multiprocessing import get_context
child = get_context("fork").Process(target=time.sleep, args=(120,)); child.start(); child = child.pid""",
    ],
    ids=["os.fork", "multiprocessing"],
)
def test_a_fork_that_outlives_the_owner_does_not_keep_the_server(
    fork: str, own: Own, nothing_is_left: Callable[..., None], is_gone: IsGone
) -> None:
    owner = own(f"tell()\n{fork}\nprint(child, flush=True); sys.stdin.read()")
    pids, fork_pid = owner.told(), int(owner.says())
    try:
        owner.process.kill()
        nothing_is_left(pids)
        assert not is_gone(fork_pid)  # or it would have shown nothing
    finally:
        os.kill(fork_pid, signal.SIGKILL)


def test_a_fork_that_ends_leaves_the_server_to_its_parent(own: Own) -> None:
    owner = own(
        """
        child = os.fork()
        if child == 0:
            with etcd:  # stop() at its end, and sys.exit() runs the finalizers
                sys.exit()
        os.waitpid(child, 0)
        print(etcd.get("nokia"), flush=True)
        """
    )
    assert owner.says() == "hello"
    assert owner.process.wait(20) == 0


def test_a_fork_can_read_and_write_but_not_end_the_server(own: Own) -> None:
    owner = own(
        """
        child = os.fork()
        if child == 0:
            from etcd_watcher.errors import EtcdWatcherError
            seen = [etcd.get("nokia"), repr(etcd)]
            for forbidden in (etcd.kill, etcd.restart, etcd.pause, etcd.resume):
                try:
                    forbidden()
                except EtcdWatcherError as error:
                    seen.append("fork" in str(error))
            print(json.dumps(seen), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(etcd.running, flush=True)
        """
    )
    assert json.loads(owner.says()) == ["hello", "LocalEtcd(running)", True, True, True, True]
    assert owner.says() == "True"


def test_an_interrupt_from_the_terminal_does_not_reach_the_server(own: Own) -> None:
    owner = own(
        """
        try:
            tell()
            sys.stdin.read()
        except KeyboardInterrupt:
            etcd.put("nokia", "again")
            print(etcd.get("nokia"), etcd.running, flush=True)
        """
    )
    owner.told()
    os.killpg(owner.process.pid, signal.SIGINT)
    assert owner.says() == "again True"
    assert owner.process.wait(20) == 0


@pytest.mark.parametrize(
    ("kind", "tries", "first", "step", "least"),
    [("LocalEtcd", 20, 0.002, 0.008, 5), ("LocalCluster", 12, 0.005, 0.018, 6)],
)
def test_an_interrupt_at_any_moment_of_a_start_leaves_nothing(
    own: Own,
    nothing_is_left: Callable[..., None],
    kind: str,
    tries: int,
    first: float,
    step: float,
    least: int,
) -> None:
    owner = own(
        f"""
        from etcd_watcher.local import {kind} as Server
        interrupted = 0
        tell()
        etcd.stop()
        def interrupt(*_):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        for step in range({tries}):
            try:
                signal.setitimer(signal.ITIMER_REAL, {first} + step * {step})
                another = Server()
                signal.setitimer(signal.ITIMER_REAL, 0)
                another.stop()
            except KeyboardInterrupt:
                interrupted += 1
            another = None
        deadline = time.monotonic() + 20
        while psutil.Process().children(recursive=True):
            import subprocess; subprocess._cleanup()
            assert time.monotonic() < deadline, psutil.Process().children(recursive=True)
            time.sleep(0.01)
        print(interrupted, os.listdir(os.environ["TMPDIR"]), flush=True)
        """
    )
    owner.told()
    interrupted, left = owner.says().split(" ", 1)
    assert int(interrupted) >= least
    assert left == "[]"


def test_a_fork_leaves_the_cluster_to_its_parent(own: Own) -> None:
    owner = own(
        """
        from etcd_watcher.errors import EtcdWatcherError
        from etcd_watcher.local import LocalCluster
        cluster = LocalCluster()
        child = os.fork()
        if child == 0:
            with cluster:  # stop() at its end, and sys.exit() runs the finalizers
                try:
                    cluster.faults.kill("m1")
                except EtcdWatcherError as error:
                    cluster.put("nokia", "fork" if "fork" in str(error) else str(error))
                sys.exit()
        os.waitpid(child, 0)
        print(cluster.get("nokia"), flush=True)
        cluster.faults.restart("m1")
        cluster.faults.cut("m1", "m2")
        print(cluster, flush=True)
        """
    )
    assert owner.says() == "fork"
    assert owner.says() == "LocalCluster(m1 running, m2 running, m3 running)"
    assert owner.process.wait(20) == 0


def test_an_interrupted_question_does_not_mix_up_the_answers(own: Own) -> None:
    owner = own(
        """
        def interrupt(*_):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        interrupted, pid = 0, etcd.pid
        while interrupted < 200:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005)
                while True:
                    assert etcd.pid == pid
            except KeyboardInterrupt:
                interrupted += 1
        etcd.kill()
        print(etcd.running, flush=True)
        etcd.start()
        print(etcd.get("nokia"), flush=True)
        """
    )
    assert owner.says() == "False"
    assert owner.says() == "hello"


def test_whoever_reads_the_owners_output_does_not_wait_for_the_guardian(
    own: Own, nothing_is_left: Callable[..., None]
) -> None:
    owner = own("tell(); psutil.Process().children()[0].suspend(); os._exit(0)")
    pids = owner.told()
    try:
        assert owner.process.stdout is not None
        assert owner.process.stdout.read() == ""  # its end, while the guardian still stands there
    finally:
        os.kill(pids[0], signal.SIGCONT)
    nothing_is_left(pids)


def guardian_of(etcd: LocalEtcd) -> psutil.Process:
    guardian = psutil.Process(etcd.pid).parent()
    assert guardian is not None
    assert "guardian.py" in " ".join(guardian.cmdline())
    return guardian


def test_a_killed_guardian_takes_the_server_along_and_is_replaced(
    temp_dir: Path, is_gone: IsGone
) -> None:
    with LocalEtcd() as etcd:
        etcd.put("nokia", "hello")
        pid = etcd.pid
        assert pid is not None
        guardian_of(etcd).kill()
        assert eventually(lambda: is_gone(pid))
        assert not etcd.running
        etcd.start()
        assert etcd.get("nokia") == "hello"
        guardian_of(etcd).kill()
    assert list(temp_dir.iterdir()) == []


def test_a_guardian_that_is_asked_to_end_tidies_up(temp_dir: Path, is_gone: IsGone) -> None:
    with LocalEtcd() as etcd:  # ipykernel sends its children a SIGTERM when it shuts down
        pid = etcd.pid
        assert pid is not None
        guardian_of(etcd).terminate()
        assert eventually(lambda: is_gone(pid) and list(temp_dir.iterdir()) == [])
        assert not etcd.running


def test_guardian_and_server_hold_nothing_of_the_owners(tmp_path: Path) -> None:
    with (tmp_path / "mine").open("w") as mine:
        os.set_inheritable(mine.fileno(), True)  # noqa: FBT003 (Python's own)
        with LocalEtcd() as etcd:
            for process in (psutil.Process(etcd.pid), guardian_of(etcd)):
                assert str(tmp_path / "mine") not in [each.path for each in process.open_files()]
                assert process.cwd() == "/"
                assert os.getsid(process.pid) != os.getsid(0)


def test_only_the_owner_may_start_it() -> None:
    with LocalEtcd() as etcd:
        etcd._single._guardian._companion._owner += 1  # as a fork sees it
        with pytest.raises(EtcdWatcherError, match="of which this is a fork"):
            etcd.kill()
        etcd.stop()
        etcd._single._guardian._companion._owner -= 1
        assert etcd.running
