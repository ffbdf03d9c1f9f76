"""Which subscriptions an event belongs to: the same cost with 10 keys and with 10,000."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import Mailbox
from etcd_watcher.subscriber import Subscription

__all__ = ["Route", "Router"]


@dataclass(slots=True, eq=False)
class Route:
    """A watched key or prefix, and who is told of its changes.

    Attributes
    ----------
    key : str
        The key as it was first asked for.
    scope : KeyRange
        The raw keys that it means.
    prefix : bool
        Whether it is a prefix.
    start : int
        The last revision that is *not* ours to tell: the watch began behind it.
    asked_for : bool
        Whether somebody asked for the key itself, and not only to be told of it.
    subscriptions : list of (Subscription, Mailbox)
        In the order in which they came.
    """

    key: str
    scope: KeyRange
    prefix: bool
    start: int = 0
    asked_for: bool = False
    subscriptions: list[tuple[Subscription, Mailbox]] = field(default_factory=list)


class Router:
    """A table from raw keys to routes. Not locked: whoever shares it brings the lock.

    An exact key is one look-up in a dict, a prefix one for each *length* of prefix in use.
    """

    def __init__(self) -> None:
        self._routes: dict[tuple[bytes, bool], Route] = {}
        """All of them, in the order in which they came."""
        self._exact: dict[bytes, Route] = {}
        self._prefixes: dict[int, dict[bytes, Route]] = {}
        self.changes = 0
        """How often a route came or went: who keeps a list of them sees whether it is still true."""

    def find(self, scope: KeyRange, *, prefix: bool) -> Route | None:
        """Give the route of exactly this key or prefix."""
        return self._routes.get((scope.start, prefix))

    def add(self, route: Route) -> None:
        """Add a route that is not there yet."""
        self.changes += 1
        start = route.scope.start
        self._routes[start, route.prefix] = route
        if route.prefix:
            self._prefixes.setdefault(len(start), {})[start] = route
        else:
            self._exact[start] = route

    def remove(self, route: Route) -> None:
        """Take a route out."""
        self.changes += 1
        start = route.scope.start
        del self._routes[start, route.prefix]
        if not route.prefix:
            del self._exact[start]
            return
        table = self._prefixes[len(start)]
        del table[start]
        if not table:
            del self._prefixes[len(start)]

    def match(self, raw_key: bytes) -> list[Route]:
        """Give the routes that a key is on: its own, and those of its prefixes."""
        exact = self._exact.get(raw_key)
        routes = [] if exact is None else [exact]
        for length, table in self._prefixes.items():
            route = table.get(raw_key[:length])
            if route is not None:
                routes.append(route)
        return routes

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes.values())

    def __len__(self) -> int:
        return len(self._routes)
