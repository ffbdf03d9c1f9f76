"""The owner's side of `guardian.py`: processes that cannot outlive us."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress

from etcd_watcher.local.companion import Companion, CompanionLost

__all__ = ["GuardedProcess", "Guardian"]


class Guardian:
    """Ends the processes that we started through it, and removes their files, when we are gone.

    It is started with the first of them, or by `start`. `end` ends it and all of them.

    Parameters
    ----------
    root : str
        A directory that the guardian makes, and removes with everything in it at the end.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._companion = Companion("guardian.py", "the server's guardian process is gone")
        self._last_pids: dict[str, int | None] = {}
        """What the guardian said last. A fork of ours, which may not ask, has only this."""

    @property
    def is_foreign(self) -> bool:
        """Whether this is a fork of the process that the object belongs to."""
        return self._companion.is_foreign

    def check_owner(self) -> None:
        """Raise EtcdWatcherError in a fork."""
        self._companion.check_owner()

    def start(self, environment: Mapping[str, str]) -> None:
        """See to it that there is a guardian, and `root`; `environment` counts for a new one.

        Raises
        ------
        OSError
            There can be none.
        CompanionLost
            The guardian was killed meanwhile.
        """
        try:
            self._companion.ask("make")
        except CompanionLost:
            self._let_go()
            self._companion.start(self.root, environment=environment)
            self._companion.ask("make")

    def ask(self, name: str, word: str, **details: object) -> int | None:
        """Ask about one process, and give its pid; None when it does not run."""
        try:
            self._last_pids[name] = self._companion.ask(word, ward=name, **details)["pid"]
        except CompanionLost:
            self._mourn()
            raise
        return self._last_pids[name]

    def last_pid(self, name: str) -> int | None:
        """Give the pid that `ask` gave last."""
        return self._last_pids.get(name)

    def end(self) -> None:
        """Kill the processes, remove the files, end the guardian. May be called any number of times.

        It may be a finalizer.
        """
        if self.is_foreign:
            return  # in a fork the processes are the parent's
        had_guardian = self._companion.was_started
        self._let_go()
        if had_guardian:
            shutil.rmtree(self.root, ignore_errors=True)  # for a guardian that was killed

    def _let_go(self) -> None:
        if self._companion.let_go():
            self._last_pids.clear()
        else:
            self._mourn()

    def _mourn(self) -> None:
        """See to it that the processes go with their guardian, which was killed.

        Linux does that by itself for the programs that we ran, but not for the children of scripts.
        """
        for pid in self._last_pids.values():
            if pid is not None:
                with suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
        self._last_pids.clear()


class GuardedProcess:
    """One process under a guardian, by name."""

    def __init__(self, guardian: Guardian, name: str) -> None:
        self._guardian = guardian
        self._name = name

    @property
    def pid(self) -> int | None:
        """The process's pid; None when it does not run."""
        if self._guardian.is_foreign:
            return self._guardian.last_pid(self._name)
        try:
            return self._guardian.ask(self._name, "look")
        except CompanionLost:
            return None

    def start(self, argv: list[str], log: str, environment: Mapping[str, str]) -> None:
        """Run `argv` unless it runs already; returns when the exec is done.

        Its output goes to the file `log`, `environment` counts when there is no guardian yet.

        Raises
        ------
        OSError
            The program cannot be run, or there is no guardian to be had.
        CompanionLost
            The guardian was killed meanwhile.
        """
        self._guardian.start(environment)
        self._guardian.ask(self._name, "start", argv=argv, log=log)

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        with suppress(CompanionLost):  # then it is gone already
            self._guardian.ask(self._name, "kill")

    def pause(self) -> None:
        """SIGSTOP; returns when all threads of the process stand still."""
        self._guardian.ask(self._name, "pause")

    def resume(self) -> None:
        """SIGCONT."""
        self._guardian.ask(self._name, "resume")
