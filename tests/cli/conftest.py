"""The command as a program of its own: started, read, interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from etcd_watcher import LocalEtcd, Watcher

PATIENCE = 30.0

Start = Callable[..., "subprocess.Popen[bytes]"]
Run = Callable[..., tuple[int, str, str]]

COMMAND = [sys.executable, "-m", "etcd_watcher"]

# Makes the terminal that is its standard input the one that controls it, and becomes the program.
ON_THE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def environment(etcd: LocalEtcd) -> dict[str, str]:
    """An environment that leads to the shared server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ETCDCTL_")}
    kept |= {"ETCDCTL_ENDPOINTS": etcd.url, "ETCDCTL_API": "3", "TERM": "xterm"}
    kept.pop("NO_COLOR", None)
    return kept


@pytest.fixture
def publisher(etcd: LocalEtcd) -> Iterator[Watcher]:
    with Watcher(etcd, api="v3") as made:
        yield made


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Start the command; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(
        *arguments: str | bytes, env: dict[str, str] | None = None, **given: Any
    ) -> subprocess.Popen[bytes]:
        streams: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [*COMMAND, *arguments], env=environment | (env or {}), **(streams | given)
        )
        started.append(process)
        return process

    yield begin
    for each in started:
        if each.poll() is None:
            each.kill()
        each.communicate()


@pytest.fixture
def run(start: Start) -> Run:
    """Run the command to its end: its status, what it printed, what it complained of."""

    def to_its_end(*arguments: str, **given: Any) -> tuple[int, str, str]:
        process = start(*arguments, **given)
        out, complaints = process.communicate(timeout=PATIENCE)
        return process.returncode, (out or b"").decode(), (complaints or b"").decode()

    return to_its_end


class Terminal:
    """A terminal with the command in it."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self._master, slave = os.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_THE_TERMINAL, *COMMAND, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=environment,
        )
        os.close(slave)

    def read_until(self, text: str) -> str:
        """Read until a text has been shown, and give all that was shown since the last time."""
        while text not in self.seen:
            try:
                self.seen += os.read(self._master, 10_000).decode()
            except OSError:  # nobody has the other end any more
                raise AssertionError(f"{text!r} was not shown: {self.seen!r}") from None
        seen, self.seen = self.seen, ""
        return seen

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def close(self) -> None:
        """Close the window."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def wait(self) -> int:
        return self.process.wait(PATIENCE)


@pytest.fixture
def terminal(environment: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """Start the command in a terminal."""
    opened: list[Terminal] = []

    def begin(*arguments: str, env: dict[str, str] | None = None) -> Terminal:
        opened.append(Terminal(environment | (env or {}), *arguments))
        return opened[-1]

    yield begin
    for each in opened:
        each.process.kill()
        each.process.wait()
        each.close()
