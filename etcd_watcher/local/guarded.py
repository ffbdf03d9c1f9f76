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

from etcd_watcher.errors import EtcdWatcherError

__all__ = ["GuardedProcess", "GuardianLost"]

ANSWER_TIMEOUT = 30.0
"""Seconds that the guardian may take for an answer; it answers in 0.1 ms, a kill takes 10 ms."""

END_PATIENCE = 2.0
"""Seconds that `end` waits for a thread whose question is still under way."""

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
        self.check_owner()
        if self.pid is None and not self._has_guardian():
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

        Also from a finalizer at exit, so it does not wait for a thread that hangs in a question:
        the end of the socket tells the guardian as well.
        """
        if self.is_foreign:
            return  # in a fork the process is the parent's
        try:
            with suppress(GuardianLost):
                self._ask("end", patience=END_PATIENCE)
        finally:
            had_guardian = self._guardian is not None
            self._let_go()
            if had_guardian:
                shutil.rmtree(self.root, ignore_errors=True)  # for a guardian that was killed

    def _start_guardian(self, environment: Mapping[str, str]) -> None:
        # If a KeyboardInterrupt comes anywhere in here, `end` closes our end of the socket, and
        # that is what the guardian waits for.
        self._unread = b""
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(ANSWER_TIMEOUT)
        with theirs:
            self._guardian = subprocess.Popen(
                # -I -S: no site-packages, no PYTHON* variables: 20 ms, and nobody's code but ours.
                [sys.executable or "python3", "-I", "-S", GUARDIAN, str(self._owner), self.root],
                stdin=theirs.fileno(),
                # Not ours, or whoever reads our output to its end would wait for the guardian.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=environment,
                # Away from Ctrl-C, and from Jupyter, which interrupts the kernel's whole group.
                start_new_session=True,
            )

    def _has_guardian(self) -> bool:
        return self._guardian is not None and self._guardian.poll() is None

    def _let_go(self) -> None:
        """Leave the guardian, and wait until it is gone."""
        if self._socket is not None:
            with suppress(OSError):
                # Closing alone tells the guardian nothing while another thread reads from it.
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None
        if self._guardian is not None:
            try:
                self._guardian.wait(ANSWER_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._guardian.kill()
                self._guardian.wait()
            self._guardian = None

    def _ask(self, word: str, *, patience: float = -1, **details: object) -> int | None:
        """Ask the guardian, and give its answer's pid."""
        self.check_owner()
        if not self._lock.acquire(timeout=patience):
            raise GuardianLost("another thread still waits for its answer")
        try:
            if self._socket is None:
                raise GuardianLost("there is none")
            number = next(self._ids)
            question = json.dumps({"id": number, "do": word, **details}).encode() + b"\n"
            self._socket.sendall(question)
            reply = self._read_reply(self._socket, number)
        except OSError as error:  # a broken pipe, a reset, no answer in time
            self._mourn()
            raise GuardianLost(f"the server's guardian process is gone ({error})") from error
        finally:
            self._lock.release()
        if "error" in reply:
            raise OSError(reply["error"])
        pid = reply["pid"]
        assert pid is None or isinstance(pid, int)
        self._last_pid = pid
        return pid

    def _read_reply(self, connection: socket.socket, number: int) -> dict[str, object]:
        """Read until the answer to question `number`.

        Answers to earlier ones are of questions that a KeyboardInterrupt cut short.
        """
        while True:
            line, newline, rest = self._unread.partition(b"\n")
            if newline:
                self._unread = rest
                reply = json.loads(line)
                if reply["id"] == number:
                    assert isinstance(reply, dict)
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
