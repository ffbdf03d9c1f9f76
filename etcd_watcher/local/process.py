"""One etcd program that runs under a guardian: its start, its first answer, its last words."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.local.binary import Binary, clean_environment
from etcd_watcher.local.guarded import GuardedProcess, Guardian

__all__ = ["START_TIMEOUT", "EtcdProcess", "PortTaken", "StartFailed"]

START_TIMEOUT = 20.0
"""Seconds until a server that does not answer counts as failed; it takes about 0.1."""

READY_TIMEOUT = 1.0
"""Seconds for one question whether the server is ready."""

READY_POLL = 0.005
"""Seconds between two questions whether the server is ready."""

LOG_LINES = 12
"""How many of the log's last lines go into an error."""


class StartFailed(EtcdWatcherError):
    """The etcd program was started, but it ended or did not get ready."""


class PortTaken(StartFailed):
    """Somebody else listens on one of the ports."""


class EtcdProcess:
    """An etcd, from its launch to its end; may be launched again.

    Attributes
    ----------
    paused : bool
        Whether it stands still.
    """

    def __init__(self, guardian: Guardian, name: str, binary: Binary, log: Path) -> None:
        self._guarded = GuardedProcess(guardian, name)
        self._binary = binary
        self._log = log
        self._flags: Mapping[str, str] = {}
        self.paused = False

    @property
    def pid(self) -> int | None:
        """Its pid; None while it does not run."""
        return self._guarded.pid

    def launch(self, flags: Mapping[str, str], *, v2: bool) -> None:
        """Run the program. StartFailed: it cannot be run."""
        self.paused = False
        self._flags = flags
        with suppress(FileNotFoundError):
            self._log.unlink()
        try:
            self._guarded.start(self._command(flags, v2=v2), str(self._log), clean_environment())
        except OSError as error:
            raise StartFailed(f"{self._binary.path} cannot be run: {error}") from error

    def check(self) -> None:
        """Raise StartFailed, or PortTaken, if the program has ended."""
        if self.pid is None:
            if "address already in use" in self._log_tail():
                ours = " or ".join(
                    self._flags[f"listen-{each}-urls"] for each in ("client", "peer")
                )
                raise PortTaken(self.complaint(f"found {ours} taken"))
            raise StartFailed(self.complaint("ended before it was ready"))

    def wait(self, is_ready: Callable[[float], bool], deadline: float) -> None:
        """Wait until the program is ready, or `time.monotonic()` is at the deadline.

        Parameters
        ----------
        is_ready : callable
            Asks the server; may take as many seconds as it is told.

        Raises
        ------
        StartFailed, PortTaken
        """
        while True:
            self.check()
            patience = min(READY_TIMEOUT, deadline - time.monotonic())
            if patience <= 0:
                raise StartFailed(self.complaint(f"was not ready within {START_TIMEOUT:g} s"))
            if is_ready(patience):
                return
            time.sleep(READY_POLL)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._guarded.kill()
        self.paused = False

    def pause(self) -> None:
        """SIGSTOP; returns when it stands still."""
        self._guarded.pause()
        self.paused = True

    def resume(self) -> None:
        """SIGCONT."""
        self._guarded.resume()
        self.paused = False

    def complaint(self, what: str) -> str:
        """Say what went wrong, with the end of the log."""
        log = self._log_tail()
        said = f"The end of its log:\n{log}" if log else "Its log is empty."
        return f"etcd {self._binary.version} ({self._binary.path}) {what}. {said}"

    def _command(self, flags: Mapping[str, str], *, v2: bool) -> list[str]:
        common = {
            "logger": "zap",  # 3.4's own default is another, without levels
            "log-outputs": "stderr",
            "log-level": "warn",
        }
        both = {**common, **flags}
        command = [self._binary.path, *(f"--{name}={value}" for name, value in both.items())]
        if v2:
            command.append("--enable-v2")
        if self._binary.release >= (3, 5):
            command.append("--unsafe-no-fsync")
        return command

    def _log_tail(self) -> str:
        try:
            lines = self._log.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-LOG_LINES:])
