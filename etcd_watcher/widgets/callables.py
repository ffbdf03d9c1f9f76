"""Which methods and functions a person may choose as a callback."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from etcd_watcher.subscriber import Subscriber

__all__ = ["kinds_of_subscriber", "methods_of", "notebook_functions", "takes_key_and_value"]


def takes_key_and_value(call: Callable[..., Any]) -> bool:
    """Tell whether something can be called with a key and a value."""
    try:
        inspect.signature(call).bind("key", "value")
    except (TypeError, ValueError):  # ValueError: it has no signature to look at
        return False
    return True


def methods_of(who: object) -> list[str]:
    """Give the names of the public methods of a subscriber that can be its callback.

    Nothing but methods is looked at: a property of anybody's class may do anything.
    """
    if inspect.isfunction(who):
        return []
    names = dict.fromkeys([*_own(who), *dir(type(who))])
    return [
        name
        for name in names
        if not name.startswith("_")
        and callable(_own(who).get(name, getattr(type(who), name, None)))
        and takes_key_and_value(getattr(who, name))
    ]


def _own(who: object) -> dict[str, Any]:
    return getattr(who, "__dict__", {})


def notebook_functions() -> dict[str, Callable[..., Any]]:
    """Give the functions that the person's notebook defines and that can be a callback."""
    return {
        name: value
        for name, value in _notebook()
        if inspect.isfunction(value)
        and value.__module__ == "__main__"
        and value.__name__ == name
        and takes_key_and_value(value)
    }


def kinds_of_subscriber() -> dict[str, type[Subscriber]]:
    """Give `Subscriber` and the classes that the person's notebook derives from it."""
    return {"Subscriber": Subscriber} | {
        name: value
        for name, value in _notebook()
        if isinstance(value, type) and issubclass(value, Subscriber)
    }


def _notebook() -> list[tuple[str, Any]]:
    """Give the names of the notebook. Copied: a cell may be adding to them."""
    names = dict(vars(sys.modules["__main__"]))
    return [(name, value) for name, value in names.items() if not name.startswith("_")]
