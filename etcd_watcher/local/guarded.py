"""The owner's side of `guardian.py`: one process that cannot outlive us."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from etcd_watcher.errors import EtcdWatcherError

__all__ = ["GuardedProcess", "GuardianLost"]

ANSWER_TIMEOUT = 30.0
"""Seconds that the guardian may take for an answer; it answers in 0.1 ms, a kill takes 10 ms."""

START_PATIENCE = 1.0
"""Seconds to wait for a guardian whose start was interrupted; a start takes some milliseconds."""

GUARDIAN = str(Path(__file__).with_name("guardian.py"))


class GuardianLost(EtcdWatcherError):
    """There is no guardian: it was killed, or ended, or was never started."""


class GuardedProcess:
    """A process, and the guardian that ends it and removes its files when we are gone.

    Both are started by `start`. `end` ends both; another `start` brings them back.

    Parameters
    ----------
    root : str
        A directory that the guardian makes, and removes with everything in it at the end.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._owner = os.getpid()
        self._guardian: subprocess.Popen[bytes] | None = None
        self._starting: _Starting | None = None
        self._socket: socket.socket | None = None
        self._unread = b""
        self._ids = itertools.count()
        self._lock = threading.Lock()
        """Held for one question and its answer: the socket carries one at a time."""
        self._last_pid: int | None = None
        """What the guardian said last. A fork of ours, which may not ask, has only this."""

    @property
    def is_foreign(self) -> bool:
        """Whether this is a fork of the process that the object belongs to."""
        return os.getpid() != self._owner

    def check_owner(self) -> None:
        """Raise EtcdWatcherError in a fork."""
        if self.is_foreign:
            raise EtcdWatcherError(
                f"this server belongs to process {self._owner}, of which this is a fork: only "
                "that one can start, stop, kill or pause it. Its URL works here as well."
            )

    @property
    def pid(self) -> int | None:
        """The process's pid; None when it does not run."""
        if self.is_foreign:
            return self._last_pid
        try:
            return self._ask("look")
        except GuardianLost:
            return None

    def start(self, argv: list[str], log: str, environment: Mapping[str, str]) -> None:
        """Run `argv` unless it runs already; returns when the exec is done.

        Its output goes to the file `log`, `environment` counts when there is no guardian yet.

        Raises
        ------
        OSError
            The program cannot be run, or `root` cannot be made.
        GuardianLost
            The guardian was killed meanwhile.
        """
        try:
            self._ask("look")
        except GuardianLost:
            self._let_go()
            self._start_guardian(environment)
        self._ask("start", argv=argv, log=log)

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        with suppress(GuardianLost):  # then it is gone already
            self._ask("kill")

    def pause(self) -> None:
        """SIGSTOP; returns when all threads of the process stand still."""
        self._ask("pause")

    def resume(self) -> None:
        """SIGCONT."""
        self._ask("resume")

    def end(self) -> None:
        """Kill the process, remove the files, end the guardian. May be called any number of times.

        It asks nothing and takes no lock: as a finalizer at exit it may meet a thread that hangs in
        a question. The end of the socket tells the guardian enough.
        """
        if self.is_foreign:
            return  # in a fork the process is the parent's
        had_guardian = self._guardian is not None or self._starting is not None
        self._let_go()
        if had_guardian:
            shutil.rmtree(self.root, ignore_errors=True)  # for a guardian that was killed

    def _start_guardian(self, environment: Mapping[str, str]) -> None:
        """Start the guardian, so that `_let_go` finds it even if we are interrupted in here."""
        self._unread = b""
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(ANSWER_TIMEOUT)
        self._starting = _Starting(
            # -I -S: no site-packages, no PYTHON* variables: 20 ms, and nobody's code but ours.
            [sys.executable or "python3", "-I", "-S", GUARDIAN, str(self._owner), self.root],
            theirs,
            environment,
        )
        self._starting.start()
        self._starting.join()
        self._guardian, self._starting = self._starting.process(), None

    def _let_go(self) -> None:
        """Leave the guardian, and wait until it is gone."""
        if self._socket is not None:
            with suppress(OSError):
                # Closing alone tells the guardian nothing while a thread of ours reads from the
                # socket, or while a fork of ours holds it too.
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None
        if self._starting is not None:
            # We were interrupted in _start_guardian, perhaps before the thread was started.
            self._starting.done.wait(START_PATIENCE)
            with suppress(OSError):
                self._guardian = self._starting.process()
            self._starting = None
        if self._guardian is not None:
            try:
                self._guardian.wait(ANSWER_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._guardian.kill()
                self._guardian.wait()
            self._guardian = None
        self._last_pid = None

    def _ask(self, word: str, **details: object) -> int | None:
        """Ask the guardian, and give its answer's pid."""
        self.check_owner()
        with self._lock:
            connection = self._socket
            if connection is None:
                raise GuardianLost("the server's guardian process is not there")
            number = next(self._ids)
            question = json.dumps({"id": number, "do": word, **details}).encode() + b"\n"
            try:
                connection.sendall(question)
                reply = self._read_reply(connection, number)
            except OSError as error:  # a broken pipe, a reset, no answer in time
                self._mourn()
                raise GuardianLost(f"the server's guardian process is gone ({error})") from error
        if "error" in reply:
            raise OSError(reply["error"])
        self._last_pid = reply["pid"]
        return self._last_pid

    def _read_reply(self, connection: socket.socket, number: int) -> dict[str, Any]:
        """Read until the answer to question `number`.

        Answers to earlier ones are of questions that a KeyboardInterrupt cut short.
        """
        while True:
            line, newline, rest = self._unread.partition(b"\n")
            if newline:
                self._unread = rest
                reply: dict[str, Any] = json.loads(line)
                if reply["id"] == number:
                    return reply
                continue
            chunk = connection.recv(65536)
            if not chunk:
                raise ConnectionResetError("it closed its end")
            self._unread += chunk

    def _mourn(self) -> None:
        """See to it that the process goes with its guardian; Linux does that by itself."""
        if sys.platform != "linux" and self._last_pid is not None:
            with suppress(OSError):
                os.killpg(self._last_pid, signal.SIGKILL)
        self._last_pid = None


class _Starting(threading.Thread):
    """The start of a guardian, out of a KeyboardInterrupt's reach.

    That comes to the main thread only. There it often comes when Popen has just forked (most of
    its time goes there) and has not yet noted the child's pid, which then nobody can reap: 1 of 40
    starts that were interrupted at regular intervals left a zombie.
    """

    def __init__(
        self, argv: list[str], stdin: socket.socket, environment: Mapping[str, str]
    ) -> None:
        super().__init__(name="etcd_watcher-start", daemon=True)
        self.done = threading.Event()
        self._argv = argv
        self._stdin = stdin
        self._environment = environment
        self._outcome: subprocess.Popen[bytes] | OSError | None = None

    def run(self) -> None:
        try:
            with self._stdin:
                self._outcome = subprocess.Popen(  # noqa: S603 (our own program)
                    self._argv,
                    stdin=self._stdin.fileno(),
                    # Not ours, or who reads our output to its end would wait for the guardian.
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env=self._environment,
                    # Away from Ctrl-C, and from Jupyter, which interrupts the kernel's group.
                    start_new_session=True,
                )
        except OSError as error:
            self._outcome = error
        finally:
            self.done.set()

    def process(self) -> subprocess.Popen[bytes] | None:
        """Give the guardian's process, or raise the OSError for which there is none."""
        if isinstance(self._outcome, OSError):
            raise self._outcome
        return self._outcome
