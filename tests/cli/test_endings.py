"""Ending as Unix programs end: at once, without a word, and with nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from etcd_watcher import LocalEtcd, Watcher
from tests.cli.conftest import COMMAND, PATIENCE, Start, Terminal
from tests.eventually import eventually

Open = Callable[..., Terminal]

ENDINGS = ["SIGINT", "SIGTERM", "SIGHUP"]


@pytest.fixture
def since(publisher: Watcher, fresh_key: str) -> str:
    """A revision with one change of the key, which tells that the program is at work."""
    return f"--since={publisher.put(fresh_key, 'first')}"


def first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def wait_for_connection(pid: int, url: str) -> None:
    """Wait until a process talks to a server."""
    port = urlsplit(url).port

    def talks() -> bool:
        connections = psutil.Process(pid).net_connections("tcp")
        return any(each.raddr[1:] == (port,) for each in connections)

    assert eventually(talks, PATIENCE)


@pytest.mark.parametrize("name", ENDINGS)
def test_a_signal_ends_it_without_a_word(
    start: Start, fresh_key: str, since: str, name: str
) -> None:
    process = start("watch", fresh_key, since)
    assert first_line(process)
    process.send_signal(getattr(signal, name))
    out, complaints = process.communicate(timeout=PATIENCE)
    assert process.returncode == -getattr(signal, name), "it died of the signal, as shells expect"
    assert (out, complaints) == (b"", b"")


@pytest.mark.parametrize("name", ENDINGS)
def test_a_signal_ends_it_while_it_connects(start: Start, name: str) -> None:
    with LocalEtcd() as server:
        server.pause()
        process = start("watch", "key", env={"ETCDCTL_ENDPOINTS": server.url})
        wait_for_connection(process.pid, server.url)
        process.send_signal(getattr(signal, name))
        out, complaints = process.communicate(timeout=PATIENCE)
        assert process.returncode == -getattr(signal, name)
        assert (out, complaints) == (b"", b"")


def test_a_pipe_that_closes_ends_it(environment: dict[str, str], publisher: Watcher) -> None:
    prefix = "/test-head/"
    publisher.delete(prefix, prefix=True)
    first = publisher.put(prefix + "0", "x")
    for number in range(1, 20):
        publisher.put(f"{prefix}{number}", "x")
    watch = " ".join([*COMMAND, "watch", "--prefix", prefix, f"--since={first}"])
    done = subprocess.run(
        ["bash", "-c", f"{watch} | head -5; echo ${{PIPESTATUS[@]}}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    *lines, statuses = done.stdout.splitlines()
    assert len(lines) == 5
    assert statuses == "141 0"
    assert done.stderr == ""


def test_a_pipe_that_closes_ends_it_also_where_there_is_nothing_to_print(
    start: Start, fresh_key: str, since: str
) -> None:
    process = start("watch", fresh_key, since)
    assert first_line(process)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(PATIENCE) == -signal.SIGPIPE
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_a_connection_that_breaks_while_it_is_written_to_does_not_end_it(
    start: Start, publisher: Watcher, fresh_key: str, since: str, tmp_path: Path
) -> None:
    watching = start("watch", fresh_key, since)
    assert first_line(watching)
    path = tmp_path / "kept.jsonl"
    recording = start("record", str(path), fresh_key)
    assert eventually(path.exists, PATIENCE)
    for each in watching, recording:
        each.send_signal(signal.SIGPIPE)  # what the system says to whoever writes to one
    second = publisher.put(fresh_key, "second")
    assert f'"revision":{second}' in first_line(watching).decode().replace(" ", "")
    assert eventually(lambda: "second" in path.read_text(), PATIENCE)


@pytest.mark.parametrize("arguments", [["--help"], ["watch", "--help"], ["--version"]])
def test_what_nobody_reads_ends_it_without_a_word(start: Start, arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    process = start(*arguments, stdout=write)
    os.close(write)
    _, complaints = process.communicate(timeout=PATIENCE)
    # With PYTHONUNBUFFERED=1 it is argparse that writes, and it takes no notice.
    assert process.returncode in {-signal.SIGPIPE, 0}
    assert complaints == b""


def test_a_flood_into_a_closed_pipe_ends_it_without_a_word(
    start: Start, publisher: Watcher, fresh_key: str, since: str
) -> None:
    process = start("watch", fresh_key, since)
    assert first_line(process)
    for _ in range(50):
        publisher.put(fresh_key, "x" * 100_000)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(PATIENCE) == -signal.SIGPIPE
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_ctrl_c_in_a_terminal_ends_it(terminal: Open, fresh_key: str, since: str) -> None:
    shown = terminal("watch", fresh_key, since)
    shown.read_until("first")
    shown.type("\x03")
    assert shown.wait() == -signal.SIGINT


def test_a_closed_terminal_leaves_nothing_behind(
    terminal: Open, fresh_key: str, since: str
) -> None:
    shown = terminal("watch", fresh_key, since)
    shown.read_until("first")
    shown.close()
    assert shown.wait() == -signal.SIGHUP


def test_what_is_ignored_stays_ignored(
    environment: dict[str, str], fresh_key: str, since: str
) -> None:
    command = " ".join([*COMMAND, "watch", fresh_key, since])
    process = subprocess.Popen(
        ["bash", "-c", f"trap '' HUP; exec {command}"], env=environment, stdout=subprocess.PIPE
    )
    assert first_line(process)
    ignored = next(
        line.split()[1]
        for line in Path(f"/proc/{process.pid}/status").read_text("ascii").splitlines()
        if line.startswith("SigIgn")
    )
    assert int(ignored, 16) & 1 << (signal.SIGHUP - 1), "nohup keeps it alive"
    process.send_signal(signal.SIGHUP)
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGTERM


def test_a_closed_standard_output_is_no_reason_to_fail(
    environment: dict[str, str], etcd: LocalEtcd, fresh_key: str, since: str
) -> None:
    command = " ".join([*COMMAND, "watch", fresh_key, since])
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command} >&-"], env=environment, stderr=subprocess.PIPE
    )
    try:
        wait_for_connection(process.pid, etcd.url)
        process.terminate()
        assert process.communicate(timeout=PATIENCE)[1] == b""
        assert process.returncode == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()
