"""Who is subscribed to what: the bookkeeping behind `Watcher.register` and its kin."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from etcd_watcher.arguments import Key, check_type, name_of
from etcd_watcher.census import Census
from etcd_watcher.demux import Demux
from etcd_watcher.feed import Feed
from etcd_watcher.interactive import running_cell
from etcd_watcher.keys import KeyRange, to_bytes
from etcd_watcher.mailbox import Mailbox, Refill
from etcd_watcher.recording.format import Header
from etcd_watcher.recording.store import ReplayStore
from etcd_watcher.router import Route
from etcd_watcher.stores.base import Store
from etcd_watcher.subscriber import (
    Subscriber,
    Subscription,
    WatchedKey,
    identity,
    recurring_name,
    shown,
)

__all__ = ["Registry", "subscribers"]

SHOWN = 5
"""Subscribers that are named to somebody who asks for a stranger."""

NARROW_BELOW = 256
"""Routes up to which an unsubscription looks for a smaller range to watch."""


class Registry:
    """Routes, subscriptions and mailboxes of one watcher, kept in step with what the feed watches.

    All of it is guarded by the demux's lock, which is let go while the server is asked.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a watcher that it keeps in step
        self,
        store: Store,
        demux: Demux,
        feed: Feed,
        refill: Refill,
        census: Census,
        timeout: float,
    ) -> None:
        self._store = store
        self._demux = demux
        self._feed = feed
        self._refill = refill
        self._census = census
        self._timeout = timeout
        self._mailboxes: dict[object, Mailbox] = {}
        """By the subscriber's identity."""
        self._recurring: dict[Hashable, tuple[int, Mailbox]] = {}
        """By the name under which a notebook makes the same subscriber again, with the cell."""
        self._watched: tuple[WatchedKey, ...] | None = None
        """What `watched` gave last; None since something has changed."""
        self._api = store.replay.recording.api if isinstance(store, ReplayStore) else store.api
        self._header = (0, Header(self._api))
        """What a recording begins with, behind the state of the router that it tells of."""
        self.orphans: deque[Callable[[], None]] = deque()
        """Ends of streams that were collected. The collector may run with any lock held, so it
        only appends here; `sweep` does the rest."""

    def sweep(self) -> None:
        """End the streams that nobody holds any more."""
        while self.orphans:
            with contextlib.suppress(IndexError):
                self.orphans.popleft()()

    def scope(self, key: Key, *, prefix: bool) -> KeyRange:
        """Check a key and give its range.

        Raises
        ------
        TypeError, ValueError
            For what is no key, or none that this store can have.
        """
        check_type(key)
        if not isinstance(prefix, bool):
            raise TypeError(f"prefix={prefix!r}: give True or False")
        return self._store.key_range(to_bytes(key), prefix=prefix)

    def watch(
        self,
        keys: Sequence[Key],
        *,
        prefix: bool,
        make: Callable[[Key, KeyRange], Subscription] | None = None,
        mailbox: Callable[[], Mailbox] | None = None,
    ) -> None:
        """Watch keys; with `make` and `mailbox`, subscribe that mailbox to them.

        Returns once the server has acknowledged the watch. What is told begins behind the revision
        that the server had when it was asked.

        Raises
        ------
        ConnectionFailed, RequestRejected
            Then nothing has changed.
        """
        scopes = [self.scope(key, prefix=prefix) for key in keys]
        if not scopes:
            return
        self._store.admit(scopes, self._timeout)
        revision = self._feed.newest_revision(self._timeout)
        undo: list[Callable[[], None]] = []
        new: list[KeyRange] = []
        with self._demux.lock:
            owner = None if mailbox is None else mailbox()
            for key, scope in zip(keys, scopes, strict=True):
                if self._demux.router.find(scope, prefix=prefix) is None:
                    new.append(scope)
                route = self._route(key, scope, revision, prefix=prefix)
                undo.append(partial(self._drop_if_unused, route))
                if make is None or owner is None:
                    if not route.asked_for:
                        undo.append(partial(setattr, route, "asked_for", False))  # noqa: FBT003
                    route.asked_for = True
                    self._watched = None
                else:
                    subscription = make(key, scope)
                    undo.append(self._subscribe(route, owner, subscription, revision))
        try:
            self._feed.cover(scopes, revision, self._timeout)
        except BaseException:
            with self._demux.lock:
                for step in reversed(undo):
                    step()
                self._watched = None
                self._narrow()
            raise
        self._census.ask(new)

    def _route(self, key: Key, scope: KeyRange, revision: int, *, prefix: bool) -> Route:
        route = self._demux.router.find(scope, prefix=prefix)
        if route is None:
            route = Route(name_of(key), scope, prefix, start=revision)
            self._demux.router.add(route)
        return route

    def _subscribe(
        self, route: Route, mailbox: Mailbox, subscription: Subscription, revision: int
    ) -> Callable[[], None]:
        """Add a subscription, or give an earlier one a new callback; give what undoes it."""
        self._watched = None
        earlier = mailbox.find(route.scope, prefix=route.prefix)
        if earlier is not None:
            before = replace(earlier)
            earlier.become(subscription)
            return partial(earlier.become, before)
        subscription.start = revision
        mailbox.add(subscription)
        route.subscriptions.append((subscription, mailbox))
        return partial(self._unsubscribe, route, subscription)

    def _unsubscribe(self, route: Route, subscription: Subscription) -> None:
        self._watched = None
        for pair in route.subscriptions:
            if pair[0] is subscription:
                route.subscriptions.remove(pair)
                pair[1].remove(subscription)
                if not len(pair[1]):
                    self._close_mailbox(pair[1])
                return

    def _close_mailbox(self, mailbox: Mailbox) -> None:
        mailbox.closed = True
        if mailbox.notify is not None:
            mailbox.notify()
        if self._mailboxes.get(identity(mailbox.who)) is mailbox:
            del self._mailboxes[identity(mailbox.who)]
        name = recurring_name(mailbox.who)
        if self._recurring.get(name, (0, None))[1] is mailbox:
            del self._recurring[name]

    def _drop_if_unused(self, route: Route) -> None:
        if not route.subscriptions and not route.asked_for:
            known = self._demux.router.find(route.scope, prefix=route.prefix)
            if known is route:
                self._demux.router.remove(route)
                self._demux.forget(route.scope)

    def _narrow(self) -> None:
        """Watch no more than what is left takes.

        With many routes left it is not worth the search: what is too much is dropped unseen.
        """
        watched = self._feed.scope
        if watched is None or len(self._demux.router) > NARROW_BELOW:
            return
        scopes = [route.scope for route in self._demux.router]
        left = KeyRange.hull(scopes) if scopes else None
        if left is None or watched.covers(left):  # else somebody is about to ask for more
            self._feed.narrow(left)

    def subscribe(
        self,
        keys: Sequence[Key],
        who: object,
        make: Callable[[Key, KeyRange], Subscription],
        *,
        prefix: bool,
    ) -> None:
        """Subscribe `who` to keys; what `make` gives for each says how they are told."""
        self.watch(keys, prefix=prefix, make=make, mailbox=lambda: self.mailbox_of(who))

    def mailbox_of(self, who: object) -> Mailbox:
        """Give the mailbox of a subscriber, a new one where it has none."""
        with self._demux.lock:
            mailbox = self.find_mailbox(who)
            if mailbox is None:
                mailbox = Mailbox(who, self._refill, None)
                mailbox.journal = self._demux.journal
            elif mailbox.who is not who:
                self._mailboxes.pop(identity(mailbox.who), None)
                mailbox.who = who
            self._mailboxes[identity(who)] = mailbox
            cell = _cell_of(who)
            name = recurring_name(who) if cell is not None else None
            if cell is not None and name is not None:
                self._recurring[name] = (cell, mailbox)
            return mailbox

    def stranger(self, who: object) -> str:
        """Say of somebody that they are not subscribed, and who is."""
        with self._demux.lock:
            boxes = islice(self._mailboxes.values(), SHOWN + 1)
            names = [shown(each.who) for each in boxes]
        there = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
        return f"{shown(who)} is not subscribed here; who is: {there or 'nobody'}"

    def find_mailbox(self, who: object, *, closed: bool = False) -> Mailbox | None:
        """Give the mailbox of a subscriber, if it has one: with `closed`, of a closed watcher too."""
        with self._demux.lock:
            mailbox = self._mailboxes.get(identity(who))
            if mailbox is not None and mailbox.closed and not closed:
                mailbox = None
            cell = _cell_of(who)
            if mailbox is None and cell is not None:
                known = self._recurring.get(recurring_name(who))
                if known is not None and known[0] != cell and not known[1].closed:
                    mailbox = known[1]
            return mailbox

    def leave(self, key: Key, who: object, *, prefix: bool | None, keep: bool) -> None:
        """End the subscriptions of `who` to a key: as such, as a prefix, or (None) as both.

        With `keep` it is watched on when nobody is left.
        """
        with self._demux.lock:
            mailbox = self.find_mailbox(who)
            if mailbox is None:
                return
            for route in self.routes(key, prefix):
                subscription = mailbox.find(route.scope, prefix=route.prefix)
                if subscription is not None:
                    self._unsubscribe(route, subscription)
                    if not subscribers(route):
                        route.asked_for = keep
                        self._drop_if_unused(route)
                        self._narrow()

    def end(self, mailbox: Mailbox) -> None:
        """End all that a mailbox is subscribed to."""
        with self._demux.lock:
            for subscription in mailbox.subscriptions:
                route = self._demux.router.find(subscription.scope, prefix=subscription.prefix)
                if route is not None:
                    self._unsubscribe(route, subscription)
                    self._drop_if_unused(route)
                    self._narrow()
            self._close_mailbox(mailbox)

    def remove(self, key: Key, *, prefix: bool | None) -> None:
        """Watch a key no more, whoever is subscribed: as such, as a prefix, or (None) as both."""
        with self._demux.lock:
            self._watched = None
            for route in self.routes(key, prefix):
                route.asked_for = False
                for subscription, _ in list(route.subscriptions):
                    self._unsubscribe(route, subscription)
                self._drop_if_unused(route)
                self._narrow()

    def routes(self, key: Key, prefix: bool | None = None) -> list[Route]:  # noqa: FBT001 - of three
        """Give the routes of a key: as such, as a prefix, or (None) as both."""
        found: list[Route] = []
        with self._demux.lock:
            for as_prefix in (False, True) if prefix is None else (prefix,):
                try:
                    scope = self.scope(key, prefix=as_prefix)
                except ValueError:  # such as "", which is no key but a prefix
                    continue
                route = self._demux.router.find(scope, prefix=as_prefix)
                if route is not None:
                    found.append(route)
        return found

    def shown(self) -> list[Route]:
        """Give the routes that a person asked for, in the order in which they came."""
        self.sweep()
        with self._demux.lock:
            return [each for each in self._demux.router if each.asked_for or subscribers(each)]

    def watched(self) -> tuple[WatchedKey, ...]:
        """Give the routes that a person asked for: the same tuple until something changes."""
        self.sweep()
        with self._demux.lock:
            if self._watched is None:
                self._watched = tuple(
                    WatchedKey(
                        route.key,
                        route.prefix,
                        tuple(
                            each.interest for each, _ in route.subscriptions if each.who is not None
                        ),
                    )
                    for route in self.shown()
                )
            return self._watched

    def scopes(self) -> list[KeyRange]:
        """Give the raw keys that each watched key or prefix means."""
        with self._demux.lock:
            return list(dict.fromkeys(route.scope for route in self._demux.router))

    def header(self) -> Header:
        """Give what a recording begins with: the same object until other keys are watched."""
        with self._demux.lock:
            changes, header = self._header
            if changes != self._demux.router.changes:
                keys = tuple((route.scope.start, route.prefix) for route in self._demux.router)
                header = Header(self._api, keys)
                self._header = (self._demux.router.changes, header)
            return header

    def mailboxes(self) -> list[Mailbox]:
        """Give every mailbox there is, those of streams too."""
        return self._demux.mailboxes()


def subscribers(route: Route) -> list[object]:
    """Give those who are subscribed to a route, in the order in which they came."""
    return [each.who for each, _ in route.subscriptions if each.who is not None]


def _cell_of(who: object) -> int | None:
    return who.cell if isinstance(who, Subscriber) else running_cell()
