"""What the journal holds: changes, gaps between them, and the connection's ups and downs."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from etcd_watcher.keys import to_text
from etcd_watcher.table import one_line

__all__ = ["EVENT_OVERHEAD", "Event", "EventType", "Gap", "Record", "Status", "kind_of"]


class EventType(enum.Enum):
    """What happened to the key."""

    PUT = "PUT"
    DELETE = "DELETE"

    def __repr__(self) -> str:
        return self.value

    __str__ = __repr__


class _EventFields(NamedTuple):
    type: EventType
    raw_key: bytes
    raw_value: bytes | None
    raw_prev_value: bytes | None
    revision: int
    created: int
    version: int
    lease: int
    action: str
    expired: bool
    synthetic: bool


class Event(_EventFields):
    """One change of one key, as etcd told it. Immutable.

    It is a tuple underneath, because making one is what every event costs: a frozen dataclass
    with these fields takes 2.4 us, a tuple 0.26 us (CPython 3.11).

    Attributes
    ----------
    type : EventType
        PUT or DELETE.
    raw_key, raw_value, raw_prev_value : bytes
        The key, its new value (None for a deletion), and the value before (None where there was
        none or the server could not give it).
    key, value, prev_value : str
        The same as text: UTF-8 with `surrogateescape`, so that no byte is lost.
    revision : int
        The store's revision of this change (v2: modifiedIndex).
    created : int
        The revision at which this life of the key began (v2: createdIndex); 0 for a v3 deletion.
    version : int
        How often the key was written in this life, 1 when it was just created; 0 for a deletion
        and on v2, which does not count.
    lease : int
        The lease that the key hangs on (v3; 0 for none). For a deletion, the lease it hung on.
    action : str
        The server's own word: v2's set, create, update, delete, expire, compareAndSwap …;
        on v3 "put", "delete" or "expire".
    expired : bool
        Whether a deletion came from a lease or a TTL that ran out.
    synthetic : bool
        Made by a resync after a `Gap`, not told by the server.

    Examples
    --------
    >>> watcher.on("nokia")(lambda event: print(event.key, event.value, event.revision))
    """

    __slots__ = ()

    @property
    def key(self) -> str:
        return to_text(self.raw_key)

    @property
    def value(self) -> str | None:
        return None if self.raw_value is None else to_text(self.raw_value)

    @property
    def prev_value(self) -> str | None:
        return None if self.raw_prev_value is None else to_text(self.raw_prev_value)

    @property
    def size(self) -> int:
        """About how much memory the event holds, in bytes."""
        return (
            EVENT_OVERHEAD
            + len(self.raw_key)
            + len(self.raw_value or b"")
            + len(self.raw_prev_value or b"")
        )

    def __repr__(self) -> str:
        """Name what a person asks first; two runs of a notebook may differ in revisions alone."""
        value = "" if self.value is None else f"='{one_line(self.value)}'"
        marks = ", expired" if self.expired else ""
        marks += ", synthetic" if self.synthetic else ""
        return f"Event({self.type} '{one_line(self.key)}'{value}, revision={self.revision}{marks})"

    def _repr_html_(self) -> str:
        from etcd_watcher._html import event_html  # noqa: PLC0415 - it imports this module

        return event_html(self)


def kind_of(event: Event) -> str:
    """Tell "created", "modified", "deleted" and "expired" apart.

    On v2 every `set` makes the key anew, and only the value before tells that there was one.
    """
    if event.raw_value is None:
        return "expired" if event.expired else "deleted"
    new = event.created == event.revision and event.raw_prev_value is None
    return "created" if new else "modified"


EVENT_OVERHEAD = 400
"""Bytes of an event beside its key and values: the tuple, its numbers, and bytes' own headers."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Revisions `first` to `last`, both included, that no server can give any more.

    Synthetic events follow it in the journal, one for each watched key that changed meanwhile.

    Attributes
    ----------
    first, last : int
        The first and the last lost revision.
    reason : str
        Why they are lost: compaction, a cleared v2 history, …
    subscriber : str
        Who alone lost them, having fallen behind what the server still has; "" for a gap in the
        watcher's own stream, which is everybody's.
    """

    first: int
    last: int
    reason: str
    subscriber: str = ""

    def __repr__(self) -> str:
        whose = f", subscriber={self.subscriber!r}" if self.subscriber else ""
        return f"Gap(first={self.first}, last={self.last}, reason={self.reason!r}{whose})"


@dataclass(frozen=True, slots=True)
class Status:
    """How the watcher stands with its server.

    Attributes
    ----------
    state : str
        "connected", "reconnecting" or "closed". A watcher that does not connect is not made.
    endpoint : str
        The endpoint that we talk to, or talked to last.
    reason : str
        Why we are reconnecting; "" while connected.
    since : float
        When this state began, in seconds since the epoch.
    next_try : float or None
        When we try again, in seconds since the epoch; None unless reconnecting.
    """

    state: str
    endpoint: str = ""
    reason: str = ""
    since: float = field(default_factory=time.time, compare=False)
    next_try: float | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        reason = f", reason={self.reason!r}" if self.reason else ""
        return f"Status({self.state!r}{reason})"


Record = Event | Gap | Status
"""What a journal holds."""
