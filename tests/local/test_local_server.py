"""The life of a `LocalEtcd`, from its start to its stop."""

from __future__ import annotations

import gc
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from etcd_watcher.errors import ConnectionFailed, NoBinary
from etcd_watcher.local import LocalEtcd, StartFailed
from etcd_watcher.local.ports import free_ports
from etcd_watcher.local.single import Single
from tests.eventually import eventually

IsGone = Callable[[int], bool]

SINGLE = "etcd_watcher.local.single"
PROCESS = "etcd_watcher.local.process"

pytestmark = pytest.mark.usefixtures("no_leaks")


class Clock:
    """A clock that stands still until the test moves it, for however slow this machine is."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    sleep = staticmethod(time.sleep)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that servers ask for their deadlines."""
    clock = Clock()
    for module in (SINGLE, PROCESS):
        monkeypatch.setattr(module + ".time", clock)
    return clock


def port_of(etcd: LocalEtcd) -> int:
    return int(etcd.url.rpartition(":")[2])


def pid_of(etcd: LocalEtcd) -> int:
    assert etcd.pid is not None
    return etcd.pid


def write_script(path: Path, *lines: str) -> Path:
    """Make an `etcd` of our own, which says that it is 3.5.1."""
    version = "case $1 in --version) echo 'etcd Version: 3.5.1'; exit;; esac"
    path.write_text("\n".join(["#!/bin/sh", version, *lines, ""]))
    path.chmod(0o755)
    return path


def test_a_server_is_ready_when_it_has_been_made(any_version: str) -> None:
    with LocalEtcd(version=any_version) as etcd:
        assert etcd.version.startswith(any_version)
        assert etcd.endpoints == [etcd.url]
        assert etcd.v2
        assert etcd.running
        assert psutil.Process(etcd.pid).exe() == os.path.realpath(etcd.binary)
        for api in ("v2", "v3"):
            etcd.put("nokia", "hello", api=api)
            assert etcd.get("nokia", api=api) == "hello"


def test_it_listens_on_loopback_only(any_version: str) -> None:
    with LocalEtcd(version=any_version) as etcd:
        listening = [
            each.laddr.ip
            for each in psutil.Process(etcd.pid).net_connections("inet")
            if each.status == psutil.CONN_LISTEN
        ]
        assert listening == ["127.0.0.1", "127.0.0.1"]  # for clients and for peers


def test_its_repr_is_the_same_in_every_run() -> None:
    etcd = LocalEtcd()
    assert repr(etcd) == "LocalEtcd(running)"
    etcd.pause()
    assert repr(etcd) == "LocalEtcd(paused)"
    etcd.resume()
    assert repr(etcd) == "LocalEtcd(running)"
    etcd.stop()
    assert repr(etcd) == "LocalEtcd(stopped)"


def test_several_servers_do_not_meet() -> None:
    with LocalEtcd() as one, LocalEtcd() as two:
        one.put("nokia", "one")
        assert two.get("nokia") is None
        one.stop()
        two.put("nokia", "two")


def test_stopping_leaves_nothing(temp_dir: Path, any_version: str, is_gone: IsGone) -> None:
    etcd = LocalEtcd(version=any_version)
    pid = pid_of(etcd)
    assert list(temp_dir.iterdir()) == [etcd.data_dir.parent]
    etcd.stop()
    assert is_gone(pid)
    assert list(temp_dir.iterdir()) == []
    assert etcd.pid is None
    assert not etcd.running


def test_stopping_twice_is_no_error() -> None:
    etcd = LocalEtcd()
    etcd.stop()
    etcd.stop()
    with etcd:
        pass


def test_a_stopped_server_can_start_again_at_its_url_with_nothing_in_it(temp_dir: Path) -> None:
    with LocalEtcd() as etcd:
        url = etcd.url
        etcd.put("nokia", "hello")
        etcd.stop()
        etcd.start()
        assert etcd.url == url
        assert etcd.get("nokia") is None
        etcd.put("nokia", "hello")
    assert list(temp_dir.iterdir()) == []


def test_starting_a_running_server_changes_nothing() -> None:
    with LocalEtcd() as etcd:
        pid = etcd.pid
        etcd.start()
        assert etcd.pid == pid


def test_a_restart_keeps_url_and_data(any_version: str) -> None:
    with LocalEtcd(version=any_version) as etcd:
        url, pid = etcd.url, etcd.pid
        for api in ("v2", "v3"):
            for number in range(50):
                etcd.put(f"key-{number}", f"{api} {number}", api=api)
        etcd.restart()
        assert etcd.url == url
        assert etcd.pid != pid
        for api in ("v2", "v3"):
            assert [etcd.get(f"key-{n}", api=api) for n in range(50)] == [
                f"{api} {n}" for n in range(50)
            ]


def test_a_killed_server_comes_back_with_its_data(any_version: str, is_gone: IsGone) -> None:
    with LocalEtcd(version=any_version) as etcd:
        pid, url = pid_of(etcd), etcd.url
        etcd.put("nokia", "hello")
        etcd.kill()
        assert is_gone(pid)
        assert not etcd.running
        etcd.kill()
        etcd.start()
        assert etcd.url == url
        assert etcd.get("nokia") == "hello"


def test_a_crash_is_noticed(any_version: str) -> None:
    with LocalEtcd(version=any_version) as etcd:
        etcd.put("nokia", "hello")
        os.kill(pid_of(etcd), signal.SIGKILL)
        assert eventually(lambda: not etcd.running)
        assert repr(etcd) == "LocalEtcd(stopped)"
        etcd.start()
        assert etcd.get("nokia") == "hello"


def test_a_given_data_dir_is_kept(temp_dir: Path, tmp_path: Path, any_version: str) -> None:
    data_dir = tmp_path / "my data"
    with LocalEtcd(version=any_version, data_dir=data_dir) as etcd:
        assert etcd.data_dir == data_dir
        etcd.put("nokia", "hello")
    assert list(temp_dir.iterdir()) == []
    etcd.start()
    assert etcd.get("nokia") == "hello"
    etcd.stop()
    with LocalEtcd(version=any_version, data_dir=str(data_dir)) as another:
        assert another.get("nokia") == "hello"


def test_a_paused_server_stands_still_and_goes_on(any_version: str) -> None:
    with LocalEtcd(version=any_version) as etcd:
        etcd.put("nokia", "hello")
        etcd.pause()
        etcd.pause()
        assert psutil.Process(etcd.pid).status() == psutil.STATUS_STOPPED
        with socket.create_connection(("127.0.0.1", port_of(etcd)), timeout=5) as connection:
            connection.settimeout(0.2)  # the kernel connects us, but nobody answers
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            with pytest.raises(TimeoutError):
                connection.recv(1)
        etcd.resume()
        etcd.resume()
        assert etcd.get("nokia") == "hello"


@pytest.mark.parametrize("end", [LocalEtcd.stop, LocalEtcd.kill, LocalEtcd.restart])
def test_a_paused_server_can_be_ended(end: Callable[[LocalEtcd], None]) -> None:
    with LocalEtcd() as etcd:
        etcd.pause()
        end(etcd)
        etcd.start()
        etcd.put("nokia", "hello")


def test_what_does_not_run_cannot_be_paused() -> None:
    with LocalEtcd() as etcd:
        etcd.kill()
        for use in (etcd.pause, etcd.resume):
            with pytest.raises(ConnectionFailed, match=r"is stopped: start\(\) it again"):
                use()
        assert repr(etcd) == "LocalEtcd(stopped)"


def test_the_last_reference_takes_the_server_along(temp_dir: Path, is_gone: IsGone) -> None:
    etcd = LocalEtcd()
    pid = pid_of(etcd)
    del etcd
    gc.collect()
    assert is_gone(pid)
    assert list(temp_dir.iterdir()) == []


def test_running_a_cell_again_leaves_one_server(is_gone: IsGone) -> None:
    etcd = LocalEtcd()
    first = pid_of(etcd)
    etcd = LocalEtcd()
    gc.collect()
    assert is_gone(first)
    etcd.put("nokia", "hello")
    etcd.stop()


def test_a_server_outlives_the_thread_that_made_it() -> None:
    made: list[LocalEtcd] = []
    thread = threading.Thread(target=lambda: made.append(LocalEtcd()))
    thread.start()
    thread.join()
    with made[0] as etcd:
        etcd.put("nokia", "hello")
        assert etcd.get("nokia") == "hello"


def test_many_threads_may_use_it_while_it_restarts() -> None:
    failures: list[BaseException] = []

    def write(etcd: LocalEtcd, done: threading.Event) -> None:
        while not done.is_set():
            try:
                etcd.put("nokia", "hello")
                assert repr(etcd).startswith("LocalEtcd(")
            except ConnectionFailed:
                pass
            except BaseException as error:  # noqa: BLE001 (whatever it is, the test shows it)
                failures.append(error)

    with LocalEtcd() as etcd:
        done = threading.Event()
        threads = [threading.Thread(target=write, args=(etcd, done)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            etcd.restart()
        done.set()
        for thread in threads:
            thread.join()
        assert etcd.get("nokia") == "hello"
    assert failures == []


def test_the_environment_does_not_configure_it(
    any_version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETCD_CONFIG_FILE", "/no/such/file")  # alone it would end every start
    monkeypatch.setenv("ETCD_NAME", "somebody else")
    monkeypatch.setenv("ETCD_QUOTA_BACKEND_BYTES", "1")
    with LocalEtcd(version=any_version) as etcd:
        etcd.put("nokia", "hello")
        environment = psutil.Process(etcd.pid).environ()
        assert not [name for name in environment if name.startswith("ETCD_")]


def test_a_port_that_was_lost_is_replaced(
    any_version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        draws = [(taken, *free_ports(1)), (*free_ports(1), taken), free_ports(2)]
        free = draws[-1]
        monkeypatch.setattr(SINGLE + ".free_ports", lambda _: draws.pop(0))
        with LocalEtcd(version=any_version) as etcd:
            assert port_of(etcd) == free[0]
            etcd.put("nokia", "hello")


def test_another_etcd_on_the_port_is_not_taken_for_ours(
    etcd: LocalEtcd, monkeypatch: pytest.MonkeyPatch, fresh_key: str
) -> None:
    draws = [(port_of(etcd), *free_ports(1)), free_ports(2)]
    monkeypatch.setattr(SINGLE + ".free_ports", lambda _: draws.pop(0))
    with LocalEtcd() as ours:
        assert ours.url != etcd.url
        ours.put(fresh_key, "hello")
        assert etcd.get(fresh_key) is None


@pytest.mark.parametrize("frees_it", [True, False])
def test_a_restart_waits_for_its_own_port(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, *, frees_it: bool
) -> None:
    run = Single._run
    with LocalEtcd() as etcd:
        etcd.put("nokia", "hello")
        etcd.kill()
        stranger = socket.create_server(("127.0.0.1", port_of(etcd)))

        def run_once(self: Single, ports: tuple[int, ...], deadline: float) -> None:
            try:
                run(self, ports, deadline)
            except StartFailed:
                if frees_it:
                    stranger.close()
                else:
                    clock.now += 30
                raise

        monkeypatch.setattr(Single, "_run", run_once)
        with stranger:
            if frees_it:
                etcd.start()
            else:
                with pytest.raises(StartFailed, match=f"found {etcd.url} or .* taken"):
                    etcd.start()
                assert not etcd.running
        etcd.start()
        assert etcd.get("nokia") == "hello"


def test_a_program_that_ends_at_once_is_told_with_its_last_words(
    temp_dir: Path, tmp_path: Path
) -> None:
    program = write_script(tmp_path / "etcd", "echo 'disk is on fire' >&2", "exit 1")
    with pytest.raises(StartFailed, match=r"(?s)etcd 3\.5\.1 .*ended.*log:\ndisk is on fire"):
        LocalEtcd(binary=program)
    assert list(temp_dir.iterdir()) == []


def test_a_real_etcd_that_cannot_start_is_told_with_its_last_words(
    any_version: str, temp_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartFailed, match="not a directory"):
        LocalEtcd(version=any_version, data_dir=tmp_path / "file" / "data")
    assert list(temp_dir.iterdir()) == []


def test_a_program_that_does_not_get_ready_is_given_up(
    temp_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    program = write_script(tmp_path / "etcd", "echo 'wait for me' >&2", "exec sleep 1000")

    def is_healthy(*_: object) -> bool:
        if [log for log in temp_dir.glob("*/etcd.log") if log.read_text()]:
            clock.now += 30
        return False

    monkeypatch.setattr(SINGLE + ".is_healthy", is_healthy)
    with pytest.raises(StartFailed, match=r"(?s)not ready within 20 s.*wait for me"):
        LocalEtcd(binary=program)
    assert list(temp_dir.iterdir()) == []


def test_a_temporary_directory_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    with pytest.raises(StartFailed, match="/proc/nowhere"):
        LocalEtcd()


def test_without_a_program_nothing_is_started(temp_dir: Path) -> None:
    with pytest.raises(NoBinary):
        LocalEtcd(version="2.0")
    assert list(temp_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("version", "v2", "flags"),
    [
        ("3.4.20", True, {"--enable-v2"}),
        ("3.5.20", True, {"--enable-v2", "--unsafe-no-fsync"}),
        ("3.5.20", False, {"--unsafe-no-fsync"}),
        ("3.6.5", True, {"--unsafe-no-fsync"}),  # 3.6 does not start with a flag for v2
    ],
)
def test_each_version_gets_only_the_flags_that_it_has(
    version: str, flags: set[str], tmp_path: Path, *, v2: bool
) -> None:
    program = write_script(tmp_path / "etcd", 'echo "$@" >&2', "exit 1")
    program.write_text(program.read_text().replace("3.5.1", version))
    with pytest.raises(StartFailed) as error:
        LocalEtcd(binary=program, v2=v2)
    given = str(error.value).split()
    assert {flag for flag in given if flag in {"--enable-v2", "--unsafe-no-fsync"}} == flags


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="port"):
        LocalEtcd(port=2379)  # type: ignore[call-arg]


@pytest.mark.parametrize("at", ["x", -1, 0, True])
def test_a_compaction_at_what_is_no_revision_is_refused(at: Any) -> None:
    with LocalEtcd() as etcd, pytest.raises(ValueError, match="oldest revision to keep"):
        etcd.compact(at)
