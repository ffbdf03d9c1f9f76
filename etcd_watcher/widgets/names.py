"""How subscribers and callbacks are called where people read of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from etcd_watcher.subscriber import Subscriber, shown
from etcd_watcher.table import one_line

__all__ = ["name_of_callback", "name_of_subscriber"]


def name_of_subscriber(who: object) -> str:
    """Give the name of a subscriber: its own, a function's, or else its repr."""
    if isinstance(who, Subscriber):
        return one_line(str(who.name), 60) or "(no name)"
    return _own_name(who) or one_line(shown(who), 60)


def name_of_callback(what: str | Callable[..., Any]) -> str:
    """Give the name of a method or function."""
    if isinstance(what, str):
        return one_line(what, 60)
    return _own_name(what) or type(what).__name__


def _own_name(thing: object) -> str:
    try:
        name = getattr(thing, "__name__", None)
    except Exception:  # noqa: BLE001 - it may be anybody's class
        return ""
    return one_line(name, 60) if isinstance(name, str) else ""
