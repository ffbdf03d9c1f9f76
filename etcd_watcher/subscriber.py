"""Those who want to know, and what they asked to be told."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from etcd_watcher.background import running_loop
from etcd_watcher.event import Event, Gap
from etcd_watcher.interactive import running_cell
from etcd_watcher.keys import KeyRange
from etcd_watcher.table import one_line

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = [
    "Delivery",
    "Interest",
    "Subscriber",
    "Subscription",
    "WatchedKey",
    "check_takes",
    "code_of",
    "identity",
    "loop_for",
    "recurring_name",
    "resolve",
    "shown",
]


@dataclass(slots=True)
class Delivery:
    """How a subscriber's deliveries went.

    Attributes
    ----------
    delivered : int
        Callbacks that returned.
    failed : int
        Callbacks that raised.
    last_error : str
        The traceback of the last callback that raised; "" for none.
    lagging : int
        Revisions by which the subscriber is behind the journal; 0 when it is with it.
    gaps : list of Gap
        What this subscriber was not told, because it fell behind what the server still has.
        Synthetic events followed each.
    """

    delivered: int = 0
    failed: int = 0
    last_error: str = ""
    lagging: int = 0
    gaps: list[Gap] = field(default_factory=list)


class Subscriber:
    """Somebody with a name who prints the news. Subclass it to do something else with them.

    Any object with a method to call can be registered too; this is the one that lessons use.

    Attributes
    ----------
    name : str
    cell : int or None
        The notebook cell that made it; None elsewhere.

    Examples
    --------
    >>> class Plotter(Subscriber):
    ...     def plot(self, key, value):
    ...         self.points.append(float(value))
    >>> watcher.register("temperature", Plotter("Ana"), "plot")
    """

    name: str = ""
    cell: int | None = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.cell = running_cell()

    @property
    def delivery(self) -> Delivery:
        """How the calls of its methods went, by all watchers together."""
        found = self.__dict__.get("_delivery")
        if not isinstance(found, Delivery):  # made here: a subclass may not call our __init__
            found = self.__dict__["_delivery"] = Delivery()
        return found

    def do_things(self, key: str, value: str | None) -> None:
        """Print one line: who, which key, and its new value."""
        news = "was deleted" if value is None else f"= {one_line(value, 1000)}"
        print(f"{one_line(str(self.name), 1000)}: {one_line(key, 1000)} {news}")  # noqa: T201 - printing is what it is for

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


@dataclass(frozen=True, slots=True, eq=False)
class Interest:
    """Somebody's interest in a key.

    Attributes
    ----------
    who : object
        The subscriber.
    what : str or callable
        What is called, as it was registered.
    takes_event : bool
        Whether it is called with the event (`Watcher.on`), and not with a key and a value.
    """

    who: Any
    what: str | Callable[..., Any]
    takes_event: bool


@dataclass(frozen=True, slots=True, eq=False)
class WatchedKey:
    """A key or prefix that is watched, and who is interested in it, in the order they came.

    Attributes
    ----------
    key : str
        As it was first asked for.
    prefix : bool
        Whether everything that starts with it is meant.
    interests : tuple of Interest
        Empty where it is watched for nobody in particular.
    """

    key: str
    prefix: bool
    interests: tuple[Interest, ...]


def _pulled(_: Event) -> None:
    """Stand for a callback where events are pulled."""


@dataclass(slots=True, eq=False)
class Subscription:
    """One subscriber's interest in one key or prefix.

    Attributes
    ----------
    key : str
        The key as it was registered.
    scope : KeyRange
        The raw keys that it means.
    prefix : bool
        Whether `key` is a prefix.
    who : object
        The subscriber; None where the events are pulled.
    call : callable
        Called with the event.
    loop : AbstractEventLoop or None
        The event loop that it must be called on; None for a worker thread.
    start : int
        The last revision that it is *not* told of.
    cell : int or None
        The notebook cell that registered it.
    what : str or callable
        What was registered, which `call` calls.
    takes_event : bool
        Whether that is called with the event itself.
    code : CodeType or None
        What that runs: see `code_of`.
    ended : bool
        Whether it was unregistered: what is still on its way is dropped.
    """

    key: str
    scope: KeyRange
    prefix: bool
    who: object = None
    call: Callable[[Event], Any] = _pulled
    loop: AbstractEventLoop | None = None
    start: int = 0
    cell: int | None = field(default_factory=running_cell)
    what: str | Callable[..., Any] = _pulled
    takes_event: bool = True
    code: CodeType | None = None
    ended: bool = False

    def become(self, other: Subscription) -> None:
        """Tell whom another one tells, in its way."""
        self.key, self.who, self.call, self.loop = other.key, other.who, other.call, other.loop
        self.what, self.takes_event, self.code = other.what, other.takes_event, other.code

    @classmethod
    def of_values(  # noqa: PLR0913, PLR0917 - the fields, with another kind of callback
        cls,
        key: str,
        scope: KeyRange,
        prefix: bool,  # noqa: FBT001 - a field, in the order of the others
        who: object,
        call: Callable[[str, str | None], Any],
        loop: AbstractEventLoop | None,
    ) -> Subscription:
        """Make one whose callback gets a key and a value instead of an event."""
        made = cls(key, scope, prefix, who, lambda event: call(key, event.value), loop)
        if prefix:
            made.call = lambda event: call(event.key, event.value)
        made.what, made.takes_event = call, False
        return made

    @property
    def interest(self) -> Interest:
        """Say it for others to see."""
        return Interest(self.who, self.what, self.takes_event)


def resolve(who: object, what: str | Callable[..., Any]) -> Callable[..., Any]:
    """Find the callable that `what` names.

    Raises
    ------
    AttributeError
        When `who` has no such method; the message lists those that it has.
    TypeError
        When what is found cannot be called.
    """
    found: Any = what
    if isinstance(what, str):
        found = getattr(who, what, None)
        if found is None and not hasattr(who, what):
            if isinstance(who, str | bytes):  # its methods are nobody's callbacks
                raise AttributeError(
                    f"the subscriber {who!r} is text, without a method {what!r}: is the order "
                    "register(key, who, what)?"
                )
            methods = ", ".join(_public_methods(who)) or "none"
            raise AttributeError(f"{who!r} has no method {what!r}; it has: {methods}")
    if not callable(found):
        raise TypeError(f"a callback is the name of a method or something to call, not {found!r}")
    return found  # type: ignore[no-any-return]  # it was just found callable


def check_takes(call: Callable[..., Any], *arguments: str) -> None:
    """Check that a callback can be called with so many arguments, where that is certain.

    A wrapper is asked for its own arguments, not for those of what it wraps: it may add some.
    What says nothing reliable about its arguments (a built-in, a mock) is let through, and would
    fail at delivery.

    Raises
    ------
    TypeError
        It would fail at each delivery.
    """
    try:
        if hasattr(call, "__signature__"):  # somebody's claim
            return
        signature = inspect.signature(call, follow_wrapped=False)
    except Exception:  # noqa: BLE001 - no signature, or an object of anybody's class
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        name = getattr(call, "__qualname__", type(call).__qualname__)
        raise TypeError(
            f"the callback {name} is called with {' and '.join(arguments)}, "
            f"which it does not take: {error}"
        ) from None


def code_of(call: object) -> CodeType | None:
    """Give the Python code that a callback runs, where one can tell by it what it does.

    None for what is not Python (a built-in, a partial), and for a wrapper, whose code runs that of
    anything else: a decorated function, or one that hands all its arguments on, as a mock does.
    """
    # Asked of the type: an object of anybody's class may claim to be what it is not.
    if type(call) is MethodType:
        call = call.__func__
    elif type(call) is not FunctionType:
        call = getattr(type(call), "__call__", None)  # noqa: B004 - it was found callable
    if type(call) is not FunctionType or "__wrapped__" in call.__dict__:
        return None
    hands_on = call.__code__.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    return None if hands_on else call.__code__


def loop_for(call: Callable[..., Any], where: str | None) -> AbstractEventLoop | None:
    """Give the event loop that a callback has to run on; None for a worker thread.

    Raises
    ------
    RuntimeError
        When it needs a loop and none is running here.
    """
    unwrapped = inspect.unwrap(call)
    is_async = inspect.iscoroutinefunction(unwrapped) or inspect.iscoroutinefunction(
        getattr(unwrapped, "__call__", None)  # noqa: B004 - an object with an async __call__
    )
    if where is None and not is_async:
        return None
    loop = running_loop()
    if loop is None:
        raise RuntimeError(
            f"{call!r} is to run on an event loop, and none is running here: register it from a "
            "notebook cell or from within a coroutine"
        )
    return loop


def shown(who: object) -> str:
    """Give a subscriber's repr, whatever it is worth: it may be anybody's class."""
    try:
        return repr(who)
    except BaseException:  # noqa: BLE001 - it must not end the worker that reports on it
        return f"a {type(who).__name__}"


def _public_methods(who: object) -> list[str]:
    return [name for name, _ in inspect.getmembers(who, callable) if not name.startswith("_")]


def identity(who: object) -> Hashable:
    """Give what makes two registrations the same subscriber: being the same object.

    Bound methods are made anew at each access, so theirs is the object and the function.
    """
    if inspect.ismethod(who):
        return (id(who.__self__), who.__func__)
    return id(who)


def recurring_name(who: object) -> Hashable | None:
    """Give the name by which `who` is known again when its notebook cell is run again.

    Two subscribers of one class and name, or two functions of one module and name, made in
    different runs of cells, are one: otherwise running a cell twice would deliver twice. Outside
    of notebooks, and within one run of a cell, only the same object is the same. None for what has
    no such name.
    """
    if isinstance(who, Subscriber):
        return (type(who).__module__, type(who).__qualname__, repr(who.name))
    if inspect.isfunction(who):
        if who.__name__ == "<lambda>":
            return (who.__module__, who.__code__, repr(who.__defaults__))
        if "<locals>" not in who.__qualname__:
            return (who.__module__, who.__qualname__)
    return None
