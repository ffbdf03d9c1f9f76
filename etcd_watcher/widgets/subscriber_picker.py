"""`SubscriberPicker`: who is told of which key, as a table of ticks."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from traitlets import Int, Unicode

from etcd_watcher._html import code, table_html, text
from etcd_watcher.keys import to_bytes
from etcd_watcher.subscriber import (
    Interest,
    Subscriber,
    WatchedKey,
    identity,
    recurring_name,
    resolve,
)
from etcd_watcher.watcher import Watcher
from etcd_watcher.widgets.assets import script, styles
from etcd_watcher.widgets.base import LiveWidget, Message
from etcd_watcher.widgets.callables import kinds_of_subscriber, methods_of, notebook_functions
from etcd_watcher.widgets.errands import Errands
from etcd_watcher.widgets.names import name_of_callback, name_of_subscriber
from etcd_watcher.widgets.renderer import renderer
from etcd_watcher.widgets.shown_text import cell, escaped_text

__all__ = ["SubscriberPicker"]

What = str | Callable[..., Any]

LOOK_EVERY = 1.0
"""Seconds between two looks at the notebook for functions that can be called."""

LONGEST_NAME = 200
"""Characters of a name that a page may send."""


@dataclass(slots=True, eq=False)
class Column:
    """A subscriber in the table.

    Attributes
    ----------
    what : str or callable
        What the next tick registers.
    takes_event : bool
        Whether that is a function that gets the event, as with `Watcher.on`.
    """

    number: int
    who: Any
    what: What
    takes_event: bool = False


class SubscriberPicker(LiveWidget):
    """A table of keys and subscribers: a tick registers, taking it away unregisters.

    It shows what the watcher has: what is registered in code shows at once, and the reverse. A
    new subscriber is made by its name. What is called is chosen at the head of its column: its
    methods, and the functions of the notebook that take a key and a value.

    Parameters
    ----------
    watcher : Watcher
    subscribers : iterable, optional
        People to choose from who are not subscribed yet.
    rows, columns : int
        Keys and subscribers that are shown at a time; others are found by name.

    Attributes
    ----------
    subscribers : list
        Everybody in the table, those made in it too.

    Examples
    --------
    >>> picker = SubscriberPicker(watcher, [luis, antonio])
    >>> picker
    >>> picker["Ana"]      # whom somebody made in the table
    Subscriber('Ana')
    """

    _esm: Any = Unicode(script("subscriber_picker")).tag(sync=True)
    _css: Any = Unicode(styles("subscriber_picker")).tag(sync=True)

    rows = Int(100, min=1, max=1000).tag(setting=True)
    columns = Int(20, min=1, max=200).tag(setting=True)

    def __init__(
        self, watcher: Watcher, subscribers: Iterable[object] = (), **settings: Any
    ) -> None:
        self._given = list(subscribers)
        super().__init__(watcher, **settings)

    def _start(self) -> None:
        self._errands = Errands(self)
        self._columns: dict[int, Column] = {}
        self._made = 0
        self._find = ""
        self._watched: tuple[WatchedKey, ...] | None = None
        self._functions: dict[str, Callable[..., Any]] = {}
        self._kinds: dict[str, type[Subscriber]] = {}
        self._looked = 0.0
        self._now = 0.0
        self._version = 0
        """Counts the changes of what is shown, but for the watcher's own."""
        self._told: tuple[object, ...] = ()
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        for who in self._given:
            self._column(who)

    # Who is in the table.

    @property
    def subscribers(self) -> list[Any]:
        """Everybody in the table."""
        with renderer.lock:
            self._look_at_subscribers()
            return [each.who for each in self._columns.values()]

    def __getitem__(self, name: str) -> Any:
        """Give the subscriber of that name."""
        for who in self.subscribers:
            if name_of_subscriber(who) == name:
                return who
        raise KeyError(name)

    def add(self, who: object) -> None:
        """Have somebody in the table, whether subscribed or not."""
        with renderer.lock:
            self._column(who)

    def _find_column(self, who: object) -> Column | None:
        known: Hashable = identity(who)
        return next((each for each in self._columns.values() if identity(each.who) == known), None)

    def _column(self, who: Any, interest: Interest | None = None) -> Column:
        column = self._find_column(who)
        if column is None:
            self._made += 1
            column = Column(self._made, who, _first_choice(who))
            if interest is not None:
                column.what, column.takes_event = interest.what, interest.takes_event
            self._columns[self._made] = column
            self._version += 1
        return column

    def _look_at_subscribers(self) -> None:
        watched = self.watcher.watched_keys
        if watched is self._watched:
            return
        self._watched = watched
        present: dict[Hashable, Interest] = {}
        for each in watched:
            for interest in each.interests:
                present.setdefault(identity(interest.who), interest)
        for interest in present.values():
            if self._find_column(interest.who) is not None:
                continue
            name = recurring_name(interest.who)
            for column in self._columns.values():
                # The same one, made again by a cell that was run again.
                if (
                    name is not None
                    and recurring_name(column.who) == name
                    and identity(column.who) not in present
                ):
                    column.who = interest.who
                    break
            else:
                self._column(interest.who, interest)

    # Drawing.

    def _draw(self, now: float) -> None:
        self._now = now
        super()._draw(now)

    def _delta(self) -> Message | None:
        self._look_at_subscribers()
        if self._now - self._looked > LOOK_EVERY:
            self._looked = self._now
            found = (notebook_functions(), kinds_of_subscriber())
            if found != (self._functions, self._kinds):
                self._functions, self._kinds = found
                self._version += 1
        told = (self._watched, self._version, *self._errands.told().values())
        if told == self._told:
            return None
        self._told = told
        return self._whole()

    def _whole(self) -> Message:
        columns, rows = self._found()
        numbers = {identity(each.who): each.number for each in columns[: self.columns]}
        return self._errands.told() | {
            "columns": [self._describe(each) for each in columns[: self.columns]],
            "all_columns": len(self._columns),
            "rows": [
                {
                    "id": to_bytes(each.key).hex(),
                    "text": cell(to_bytes(each.key)),
                    "prefix": each.prefix,
                    "ticks": [
                        [numbers[identity(one.who)], name_of_callback(one.what)]
                        for one in each.interests
                        if identity(one.who) in numbers
                    ],
                }
                for each in rows[: self.rows]
            ],
            "all_rows": len(self._watched or ()),
            "kinds": list(self._kinds),
            "find": escaped_text(self._find),
            "api": self.watcher.api,
        }

    def _found(self) -> tuple[list[Column], list[WatchedKey]]:
        """Give the columns and the rows that match what is looked for.

        Where only one of the two has matches, all of the other stay beside it: first those that
        have to do with what was found.
        """
        columns, rows = list(self._columns.values()), list(self._watched or ())
        wanted = self._find.casefold()
        if not wanted:
            return columns, rows
        by_name = [each for each in columns if wanted in name_of_subscriber(each.who).casefold()]
        by_key = [each for each in rows if wanted in each.key.casefold()]
        if by_name and not by_key:
            found = {identity(each.who) for each in by_name}
            rows.sort(key=lambda row: found.isdisjoint(identity(one.who) for one in row.interests))
            return by_name, rows
        if by_key and not by_name:
            told = {identity(one.who) for each in by_key for one in each.interests}
            columns.sort(key=lambda column: identity(column.who) not in told)
            return columns, by_key
        return by_name, by_key

    def _describe(self, column: Column) -> Message:
        return {
            "number": column.number,
            "name": name_of_subscriber(column.who),
            "kind": "function" if inspect.isroutine(column.who) else type(column.who).__name__,
            "what": name_of_callback(column.what),
            "choices": [] if column.takes_event else list(self._choices(column)),
        }

    def _choices(self, column: Column) -> dict[str, What]:
        """Give what a subscriber's callback may be, by name."""
        choices: dict[str, What] = {name: name for name in methods_of(column.who)}
        choices.setdefault(name_of_callback(column.what), column.what)
        for name, function in self._functions.items():
            choices.setdefault(name, function)
        return choices

    # What the page asks.

    def _heard(self, message: Message) -> None:
        match message:
            case {"ask": "find", "text": str(wanted)}:
                self._find = wanted[:LONGEST_NAME]
                self._version += 1
            case {"ask": "new", "name": str(name), "kind": str(kind)}:
                self._make(name.strip()[:LONGEST_NAME], kind)
            case {"ask": "tick", "column": int(number), "id": str(digits), "prefix": bool(prefix)}:
                column = self._columns.get(number)
                if column is not None:
                    key = _key_of(self._watched or (), digits, prefix=prefix)
                    if key is not None:
                        self._tick(column, key, prefix=prefix, on=bool(message.get("on")))
            case {"ask": "what", "column": int(number), "what": str(name)}:
                column = self._columns.get(number)
                if column is not None and name in self._choices(column):
                    self._choose(column, self._choices(column)[name])
            case {"ask": "remove", "column": int(number)}:
                column = self._columns.pop(number, None)
                self._version += 1
                if column is not None:
                    self._errands.run(partial(self._unregister_all, column.who))

    def _make(self, name: str, kind: str) -> None:
        if not name:
            self._errands.trouble = "A subscriber needs a name."
        elif any(name_of_subscriber(each.who) == name for each in self._columns.values()):
            self._errands.trouble = f"{name} is there already."
        else:
            make = self._kinds.get(kind, Subscriber)
            self._errands.run(partial(make, name), self._column)

    def _tick(self, column: Column, key: str, *, prefix: bool, on: bool) -> None:
        if on:
            self._errands.run(partial(self._register, column, [key], prefix=prefix))
        else:
            # Kept: an empty row can be ticked again, and the journal goes on.
            leave = partial(self.watcher.unregister, key, column.who, prefix=prefix, keep=True)
            self._errands.run(leave)

    def _choose(self, column: Column, what: What) -> None:
        """Have something else called, for the keys that are ticked already, too."""
        column.what = what
        self._version += 1
        for prefix in (False, True):
            keys = [
                each.key
                for each in self._watched or ()
                if each.prefix == prefix
                and any(identity(one.who) == identity(column.who) for one in each.interests)
            ]
            if keys:
                self._errands.run(partial(self._register, column, keys, prefix=prefix))

    # Errands.

    def _register(self, column: Column, keys: list[str], *, prefix: bool) -> None:
        if column.takes_event:
            call = column.who
            register = partial(self.watcher.on(keys, prefix=prefix), call)
        else:
            call = resolve(column.who, column.what)
            register = partial(self.watcher.register, keys, column.who, column.what, prefix=prefix)
        if inspect.iscoroutinefunction(inspect.unwrap(call)) and self._loop is not None:
            asyncio.run_coroutine_threadsafe(_there(register), self._loop).result()
        else:
            register()

    def _unregister_all(self, who: object) -> None:
        for each in self.watcher.watched_keys:
            if any(one.who is who for one in each.interests):
                self.watcher.unregister(each.key, who, prefix=each.prefix, keep=True)

    def _saved_html(self) -> str:
        rows = [
            (
                code(each.key) + ("…" if each.prefix else ""),
                text(", ".join(name_of_subscriber(one.who) for one in each.interests)) or "—",
            )
            for each in self.watcher.watched_keys[: self.rows]
        ]
        return table_html(("key", "subscribers"), rows)


async def _there(register: Callable[[], object]) -> None:
    """Register on the event loop that a coroutine is to run on."""
    register()


def _first_choice(who: object) -> What:
    """Give what a new subscriber's callback is until a person chooses."""
    if inspect.isroutine(who):
        return who
    methods = methods_of(who)
    return "do_things" if "do_things" in methods or not methods else methods[0]


def _key_of(watched: Iterable[WatchedKey], digits: str, *, prefix: bool) -> str | None:
    """Give the watched key that a page means."""
    for each in watched:
        if each.prefix == prefix and to_bytes(each.key).hex() == digits:
            return each.key
    return None
