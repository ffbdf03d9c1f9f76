"""Keeps etcd processes for their owner, and leaves nothing behind once the owner is gone.

This is a program of its own: `python -I -S guardian.py OWNER ROOT`, with the standard library
only. The other side of it are `guarded.py` and `companion.py`, in the owner's process.

Why a process of its own: after `kill -9` the owner can do nothing any more, and Linux's
PR_SET_PDEATHSIG alone will not do, since it fires when the owner's *thread* ends and macOS has
nothing like it. Why etcd is this process's child and not the owner's: then there is no moment at
which etcd runs and nobody guards it, and its pid cannot go to another process while we hold it.

The owner is gone when
- the socket at standard input reports its end, which the kernel sees to at once; or
- our parent is another one, asked every `OWNER_POLL` seconds: a fork of the owner that never
  execs (multiprocessing's, say) holds the owner's end of the socket open for as long as it lives.

Then, and on SIGTERM, etcd gets SIGKILL (on SIGTERM it would wait 7 s for an open watch),
ROOT is removed, and this process exits.

An `etcd` may be a script, and the real one its child. So a ward is all that came of the program
that we ran: once that has ended, however it did, the rest of its process group goes with it, and so
do those who left the group (Linux gives us orphans whose parents we started). Should we be killed,
the owner ends the group; nobody ends those who left it, or a script's children where the owner was
killed, too.

One JSON object a line. Asked `{"id": 1, "do": WORD, "ward": NAME, …}`, it answers `{"id": 1,
"pid": …}` with the pid of that etcd, None when it does not run, or `{"id": 1, "error": "…"}`. The
words:

make    make ROOT, for no ward
start   `argv`, `log`: run that, its output appended to the file `log`
look    nothing but the answer
kill    SIGKILL; answered when the process is gone
pause   SIGSTOP; answered when all its threads stand still
resume  SIGCONT
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

OWNER_POLL = 0.5
"""Seconds between looks at who our parent is; it bounds how long etcd outlives a forked owner."""

STOP_TIMEOUT = 2.0
"""Seconds that SIGSTOP may take until every thread of etcd stands still."""

SOCKET = 0


class Ward:
    """An etcd process. Only its parent, which we are, may reap it, so its pid stays its own.

    `when_ended` is called each time that it has ended.
    """

    def __init__(self, when_ended: Callable[[], object]) -> None:
        self.pid: int | None = None
        self.paused = False
        self._when_ended = when_ended

    def start(self, argv: list[str], log: str) -> None:
        """Run etcd, and return when the exec has been done or has failed (OSError)."""
        if self.look() is not None:
            return
        exec_failed, tell = os.pipe()  # closed by a successful exec
        out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        # A SIGTERM between fork and exec would run *our* handler in the child, and with it the
        # removal of everything.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            self.pid, self.paused = os.fork(), False
            if self.pid == 0:
                _become(argv, out, tell)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            os.close(tell)
            os.close(out)
        with os.fdopen(exec_failed, "rb") as pipe:
            failure = pipe.read()
        if failure:
            self.kill()
            raise OSError(failure.decode("utf-8", "replace"))

    def look(self) -> int | None:
        """Give the pid, None once the process has ended."""
        self._reap(os.WNOHANG)
        return self.pid

    def kill(self) -> None:
        """End the process and wait until it is gone."""
        pid = self.look()
        if pid is None:
            return
        for send in (os.killpg, os.kill):
            with suppress(OSError):
                send(pid, signal.SIGKILL)
        self._reap(0)

    def _reap(self, options: int) -> None:
        if self.pid is not None:
            try:
                ended = os.waitpid(self.pid, options) != (0, 0)
            except ChildProcessError:  # a SIGTERM came between our reaping it and noting that
                ended = True
            if ended:
                self._bury(self.pid)

    def _bury(self, pid: int) -> None:
        """Note that it has ended, and end what it leaves: it would hold our ports and our data."""
        self.pid = None
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        self._when_ended()

    def pause(self) -> None:
        """Stop the process, and return only when it stands still."""
        pid = self.look()
        if pid is None or self.paused:
            return
        os.killpg(pid, signal.SIGSTOP)
        deadline = time.monotonic() + STOP_TIMEOUT
        while time.monotonic() < deadline:
            changed, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
            if not changed:
                time.sleep(0.001)
                continue
            if os.WIFSTOPPED(status):
                self.paused = True
            else:
                self._bury(pid)
            return

    def resume(self) -> None:
        """Let the process go on."""
        pid = self.look()
        if pid is not None:
            os.killpg(pid, signal.SIGCONT)
            self.paused = False


def _become(argv: list[str], out: int, tell: int) -> NoReturn:
    """Turn the fresh child into etcd."""
    try:
        guardian = os.getppid()
        os.setsid()  # a group of its own, to kill as one
        _die_with_parent()
        if os.getppid() != guardian:  # it went before we asked to be told
            os._exit(1)
        # What Python ignores stays ignored over an exec, and is not etcd's to inherit.
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.execv(argv[0], argv)  # noqa: S606 (that is what we are for)
    except BaseException as error:  # noqa: BLE001 (whatever it is, this copy of us must end)
        os.write(tell, str(error).encode("utf-8", "surrogateescape"))
    finally:
        os._exit(127)


def _die_with_parent() -> None:
    """Ask Linux to kill us when the guardian is killed.

    Here that is right: the guardian has one thread, and that is the one which lives to its end.
    What else came of a script, and elsewhere etcd itself, the owner kills when it notices that its
    guardian is gone.
    """
    pr_set_pdeathsig = 1
    _prctl(pr_set_pdeathsig, int(signal.SIGKILL))


def _adopt_orphans() -> None:
    """Ask Linux to make those our children whose parents, of our wards, have ended."""
    pr_set_child_subreaper = 36
    _prctl(pr_set_child_subreaper, 1)


def _prctl(option: int, argument: int) -> None:
    if sys.platform == "linux":
        with suppress(Exception):  # a Python without ctypes, a libc without prctl
            import ctypes  # noqa: PLC0415 (Linux only)

            ctypes.CDLL(None).prctl(option, argument)


def end_orphans(wards: dict[str, Ward]) -> None:
    """End the children that are nobody's: in no session of a ward that runs."""
    running = {ward.pid for ward in wards.values()}
    tried: set[int] = set()
    while (
        orphans := {pid for pid in _children() if running.isdisjoint((pid, _session(pid)))} - tried
    ):
        tried |= orphans
        for pid in orphans:  # whose own children are ours in the next round
            with suppress(OSError):  # such as one that sudo made another user's
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _children() -> list[int]:
    try:
        with open("/proc/thread-self/children", "rb") as pids:  # noqa: PTH123 (as above, pathlib)
            return [int(pid) for pid in pids.read().split()]
    except OSError:  # no Linux, or one that does not tell
        return []


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def answer(wards: dict[str, Ward], line: bytes, root: str) -> bytes:
    """Do what one line asks, and give the line to answer."""
    asked = json.loads(line)
    reply = {"id": asked["id"]}
    try:
        if asked["do"] == "make":
            os.makedirs(root, mode=0o700, exist_ok=True)  # noqa: PTH103 (pathlib takes 6 ms to load)
        else:
            ward = wards.setdefault(asked["ward"], Ward(lambda: end_orphans(wards)))
            words: dict[str, Callable[[], object]] = {
                "start": lambda: ward.start(asked["argv"], asked["log"]),
                "look": ward.look,
                "kill": ward.kill,
                "pause": ward.pause,
                "resume": ward.resume,
            }
            words[asked["do"]]()
            reply["pid"] = ward.look()
    except OSError as error:
        reply["error"] = str(error)
    return json.dumps(reply).encode() + b"\n"


def serve(wards: dict[str, Ward], owner: int, root: str) -> None:
    """Answer the owner until it is gone."""
    unread = b""
    while os.getppid() == owner:
        readable, _, _ = select.select([SOCKET], [], [], OWNER_POLL)
        if not readable:
            for ward in wards.values():
                ward.look()  # an etcd that ended by itself is no zombie for longer than this
            continue
        chunk = os.read(SOCKET, 65536)
        if not chunk:
            return
        *lines, unread = (unread + chunk).split(b"\n")
        for line in lines:
            os.write(SOCKET, answer(wards, line, root))


def main() -> None:
    """Guard one owner's processes from the first to the last moment."""
    owner, root = int(sys.argv[1]), sys.argv[2]
    # A Ctrl-C or a closed terminal is for the owner to take; that it then ends, we notice.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    _adopt_orphans()
    wards: dict[str, Ward] = {}
    try:
        with suppress(OSError):  # the owner went while we answered it
            serve(wards, owner, root)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # leaving is under way
        for ward in wards.values():
            ward.kill()
        end_orphans(wards)
        _remove(root)


def _remove(root: str) -> None:
    """Remove the tree, also while the children of a killed wrapper script still write into it."""
    for _ in range(100):
        shutil.rmtree(root, ignore_errors=True)
        if not os.path.lexists(root):
            return
        time.sleep(0.01)


if __name__ == "__main__":
    main()
