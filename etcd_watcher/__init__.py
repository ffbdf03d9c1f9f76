"""See and test what changes in an etcd cluster, from a notebook.

The public names are loaded when they are first used: `import etcd_watcher` alone loads no protobuf,
no python-etcd, no widget and no pandas.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from etcd_watcher.errors import (
        ApiNotServed,
        BadRecording,
        Compacted,
        Conflict,
        ConnectionFailed,
        EtcdWatcherError,
        ExpectationFailed,
        HistoryReplaced,
        NoBinary,
        RequestRejected,
        WatcherClosed,
    )
    from etcd_watcher.event import Event, EventType, Gap, Status
    from etcd_watcher.journal import Journal
    from etcd_watcher.local import FaultImpossible, LocalCluster, LocalEtcd, StartFailed
    from etcd_watcher.recording.file import Recording
    from etcd_watcher.stream import EventStream
    from etcd_watcher.subscriber import Delivery, Subscriber
    from etcd_watcher.watcher import Watcher

__version__ = "0.1.0"

__all__ = [
    "ApiNotServed",
    "BadRecording",
    "Compacted",
    "Conflict",
    "ConnectionFailed",
    "Delivery",
    "EtcdWatcherError",
    "Event",
    "EventStream",
    "EventType",
    "ExpectationFailed",
    "FaultImpossible",
    "Gap",
    "HistoryReplaced",
    "Journal",
    "LocalCluster",
    "LocalEtcd",
    "NoBinary",
    "Recording",
    "RequestRejected",
    "StartFailed",
    "Status",
    "Subscriber",
    "Watcher",
    "WatcherClosed",
]

_HOMES = {
    "etcd_watcher.errors": (
        "ApiNotServed",
        "BadRecording",
        "Compacted",
        "Conflict",
        "ConnectionFailed",
        "EtcdWatcherError",
        "ExpectationFailed",
        "HistoryReplaced",
        "NoBinary",
        "RequestRejected",
        "WatcherClosed",
    ),
    "etcd_watcher.event": ("Event", "EventType", "Gap", "Status"),
    "etcd_watcher.journal": ("Journal",),
    "etcd_watcher.local": ("FaultImpossible", "LocalCluster", "LocalEtcd", "StartFailed"),
    "etcd_watcher.recording.file": ("Recording",),
    "etcd_watcher.stream": ("EventStream",),
    "etcd_watcher.subscriber": ("Delivery", "Subscriber"),
    "etcd_watcher.watcher": ("Watcher",),
}


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Give a notebook our magics: `%load_ext etcd_watcher`."""
    from etcd_watcher.ipython import load  # noqa: PLC0415 - it imports IPython

    load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take the magics away again: `%unload_ext etcd_watcher`."""
    from etcd_watcher.ipython import unload  # noqa: PLC0415

    unload(ipython)


def _show_watchers_live() -> None:
    """Have a notebook show a watcher as a widget, where there are widgets; else as it would anyway."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is not None and getattr(shell, "kernel", None) is not None:
        formatter = shell.display_formatter.mimebundle_formatter
        formatter.for_type_by_name("etcd_watcher.watcher", "Watcher", _live_view)


def _live_view(watcher: object) -> object:
    try:
        from etcd_watcher.widgets.summary import live_view  # noqa: PLC0415 - it imports widgets
    except ImportError:  # the extra `lab` is not installed
        return None
    return live_view(watcher)  # type: ignore[arg-type]  # IPython asks with nothing else


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            if name == "Watcher":
                _show_watchers_live()
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
