"""The owner's side of a small program of ours, which does for us what a thread could not.

It has a process of its own, answers questions, and goes when we go: a socket between the two is its
standard input, one JSON object a line, and the end of that socket is the end of the program.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from etcd_watcher.errors import EtcdWatcherError

__all__ = ["Companion", "CompanionLost"]

ANSWER_TIMEOUT = 30.0
"""Seconds that an answer may take; most take 0.1 ms, killing an etcd takes 10 ms."""

START_PATIENCE = 1.0
"""Seconds to wait for a program whose start was interrupted; a start takes some milliseconds."""


class CompanionLost(EtcdWatcherError):
    """The program is not there: it was killed, or ended, or was never started."""


class Companion:
    """One program beside us, from `start` to `let_go`; another `start` brings it back.

    Parameters
    ----------
    program : str
        The file's name, in this directory. It is run as `python -I -S FILE OWNER ARGUMENTS…`.
    lost : str
        What to say when it is not there.
    """

    def __init__(self, program: str, lost: str) -> None:
        self._path = str(Path(__file__).with_name(program))
        self._lost = lost
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._starting: _Starting | None = None
        self._socket: socket.socket | None = None
        self._unread = b""
        self._ids = itertools.count()
        self._lock = threading.Lock()
        """Held for one question and its answer: the socket carries one at a time."""

    @property
    def is_foreign(self) -> bool:
        """Whether this is a fork of the process that the object belongs to."""
        return os.getpid() != self._owner

    @property
    def was_started(self) -> bool:
        """Whether there is, or may be, something to let go."""
        return self._process is not None or self._starting is not None

    def check_owner(self) -> None:
        """Raise EtcdWatcherError in a fork."""
        if self.is_foreign:
            raise EtcdWatcherError(
                f"this server belongs to process {self._owner}, of which this is a fork: only "
                "that one can start, stop, kill or pause it. Its URL works here as well."
            )

    def start(self, *arguments: str, environment: Mapping[str, str]) -> None:
        """Start the program, so that `let_go` finds it even if we are interrupted in here.

        Raises
        ------
        OSError
            It cannot be run.
        """
        self._unread = b""
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(ANSWER_TIMEOUT)
        self._starting = _Starting(
            # -I -S: no site-packages, no PYTHON* variables: 20 ms, and nobody's code but ours.
            [sys.executable or "python3", "-I", "-S", self._path, str(self._owner), *arguments],
            theirs,
            environment,
        )
        self._starting.start()
        self._starting.join()
        self._process, self._starting = self._starting.process(), None

    def ask(self, word: str, **details: object) -> dict[str, Any]:
        """Ask, and give the answer.

        Raises
        ------
        OSError
            What was asked for failed, for the reason that the program gives.
        CompanionLost
            There is nobody who answers.
        EtcdWatcherError
            This is a fork.
        """
        self.check_owner()
        with self._lock:
            connection = self._socket
            if connection is None:
                raise CompanionLost(self._lost)
            number = next(self._ids)
            question = json.dumps({"id": number, "do": word, **details}).encode() + b"\n"
            try:
                connection.sendall(question)
                reply = self._read_reply(connection, number)
            except OSError as error:  # a broken pipe, a reset, no answer in time
                raise CompanionLost(f"{self._lost} ({error})") from error
        if "error" in reply:
            raise OSError(reply["error"])
        return reply

    def let_go(self) -> bool:
        """Leave the program, and wait until it is gone. May be called any number of times.

        Gives whether it came to its own end, or was not there: False where it was killed.

        It asks nothing and takes no lock: as a finalizer at exit it may meet a thread that hangs in
        a question. The end of the socket tells the program enough.
        """
        if self._socket is not None:
            with suppress(OSError):
                # Closing alone tells it nothing while a thread of ours reads from the socket, or
                # while a fork of ours holds it too.
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None
        if self._starting is not None:
            # We were interrupted in `start`, perhaps before the thread was started.
            self._starting.done.wait(START_PATIENCE)
            with suppress(OSError):
                self._process = self._starting.process()
            self._starting = None
        if self._process is None:
            return True
        try:
            self._process.wait(ANSWER_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        status, self._process = self._process.returncode, None
        return status == 0

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


class _Starting(threading.Thread):
    """The start of a program, out of a KeyboardInterrupt's reach.

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
                    # Not ours, or who reads our output to its end would wait for the program.
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
        """Give the process, or raise the OSError for which there is none."""
        if isinstance(self._outcome, OSError):
            raise self._outcome
        return self._outcome
