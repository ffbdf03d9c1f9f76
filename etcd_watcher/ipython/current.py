"""Which watcher the magics mean."""

from __future__ import annotations

from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.interactive import living
from etcd_watcher.watcher import Watcher

__all__ = ["NoWatcher", "current_watcher", "open_watchers"]


class NoWatcher(EtcdWatcherError):
    """A magic needs a watcher, and there is none."""

    def __init__(self) -> None:
        super().__init__("there is no watcher yet: %etcd connect [URL], or watcher = Watcher(URL)")


def open_watchers() -> list[Watcher]:
    """Give the watchers that are open, the newest last."""
    return [each for each in living(Watcher) if each.status.state != "closed"]


def current_watcher() -> Watcher:
    """Give the watcher that was made last and is still open.

    Raises
    ------
    NoWatcher
        There is none.
    """
    found = open_watchers()
    if not found:
        raise NoWatcher
    return found[-1]
