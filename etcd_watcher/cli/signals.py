"""Ending as Unix programs end: at once, and by the signal itself."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["die_of_signals", "watch_for_reader"]


def die_of_signals() -> None:
    """Have the system end this program at a signal, where Python would raise an exception.

    There is nothing to clear up that the system does not: connections and threads go with the
    process. An exception in the middle of anything would be worse, and in some places (importlib's
    and the collector's) Python loses it: one run in a hundred then went on. Whoever waits for a
    program that died of SIGINT knows that it was interrupted: a shell ends its loop.

    What whoever started us has had ignored stays ignored: SIGHUP under nohup, SIGINT in the
    background of a script. But SIGPIPE, which Python itself ignores.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


@contextmanager
def watch_for_reader(descriptor: int) -> Iterator[None]:
    """Die, within, when nobody reads any more what we write: of SIGPIPE, or a terminal's SIGHUP.

    Without it, a program that has nothing to write would not notice: of `etcd-watcher watch k | head
    -5` it would outlive `head` until the next change of the key.
    """
    wake_read, wake_write = os.pipe()
    number = signal.SIGHUP if os.isatty(descriptor) else signal.SIGPIPE

    def look() -> None:
        poll = select.poll()
        poll.register(descriptor, 0)  # nothing but that it was closed, or hung up
        poll.register(wake_read, select.POLLIN)
        if any(found == descriptor for found, _ in poll.poll()):
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=look, name="etcd_watcher-reader", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(wake_write)
        thread.join()
        os.close(wake_read)
