"""Whether a widget writes to the cluster."""

from __future__ import annotations

from etcd_watcher.endpoints import is_loopback
from etcd_watcher.watcher import Watcher

__all__ = ["may_write"]


def may_write(watcher: Watcher, *, read_only: bool | None) -> bool:
    """Tell whether a widget writes: where nobody has said, only if all endpoints are on this machine.

    Nobody should write to a production cluster by a slip of the mouse.
    """
    if read_only is None:
        return all(map(is_loopback, watcher.endpoints))
    return not read_only
