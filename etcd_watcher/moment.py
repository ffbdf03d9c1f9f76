"""Keys as they were at one revision, what differs between two, and what happened in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from etcd_watcher._html import code, journal_html, table_html
from etcd_watcher.event import Event
from etcd_watcher.keys import to_bytes, to_text
from etcd_watcher.listing import list_records
from etcd_watcher.stores.base import KeyValue
from etcd_watcher.table import one_line, plural, text_table

__all__ = ["Difference", "Differences", "History", "Moment"]

SHOWN = 50
"""Keys that a notebook shows."""


class Moment(Mapping[str, str]):
    """The values of keys at one revision. Made by `Watcher.at`.

    A mapping from key to value, both as text (UTF-8 with `surrogateescape`), in the order of the
    keys. Keys are as etcd has them: on v2, paths.

    Attributes
    ----------
    revision : int
    entries : sequence of KeyValue
        The same as bytes, with revision, created, version and lease of each; these are 0 where only
        the value is known.

    Examples
    --------
    >>> watcher.at(17)["nokia"]
    'hello'
    """

    def __init__(self, revision: int, entries: Sequence[KeyValue]) -> None:
        self.revision = revision
        self.entries = sorted(entries, key=lambda entry: entry.raw_key)
        self._values = {to_text(each.raw_key): to_text(each.raw_value) for each in self.entries}

    def __getitem__(self, key: str | bytes) -> str:
        return self._values[to_text(to_bytes(key))]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Moment(revision={self.revision}, {plural(len(self), 'key')})"

    def __str__(self) -> str:
        return self.table() if self else f"no keys at revision {self.revision}"

    def table(self) -> str:
        """Lay the keys and values out as text. Two runs of a lesson give the same."""
        return "\n".join(text_table(("key", "value"), self.items()))

    def _repr_html_(self) -> str:
        rows = [(code(key), code(value)) for key, value in [*self.items()][:SHOWN]]
        more = len(self) - len(rows)
        note = f"<p>… {plural(more, 'more key')}</p>" if more else ""
        return table_html(("key", f"value at revision {self.revision}"), rows) + note


@dataclass(frozen=True, slots=True)
class Difference:
    """A key whose value differs.

    Attributes
    ----------
    key : str
    before, after : str or None
        Its value at either moment; None where it was not there.
    """

    key: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        key = one_line(self.key)
        if self.before is None:
            return f"+ {key} = {one_line(self.after or '')}"
        if self.after is None:
            return f"- {key} = {one_line(self.before)}"
        return f"~ {key} = {one_line(self.before)} -> {one_line(self.after)}"


class Differences(Sequence[Difference]):
    """What differs between two moments, key by key. Made by `Watcher.diff`.

    Printed, each is a line: `+` for a key that is new, `-` for one that is gone, `~` for another
    value.
    """

    def __init__(self, before: Moment, after: Moment) -> None:
        self.first, self.last = before.revision, after.revision
        keys = sorted({*before, *after}, key=to_bytes)
        self._all = [
            Difference(key, before.get(key), after.get(key))
            for key in keys
            if before.get(key) != after.get(key)
        ]

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204 - as a list does
        return self._all[index]

    def __len__(self) -> int:
        return len(self._all)

    def __str__(self) -> str:
        return "\n".join(map(str, self._all)) or "no difference"

    def __repr__(self) -> str:
        return f"Differences(first={self.first}, last={self.last}, {plural(len(self), 'key')})"

    def _repr_html_(self) -> str:
        rows = [
            (_kind(each), code(each.key), code(each.before), code(each.after))
            for each in self._all[:SHOWN]
        ]
        if not rows:
            return "<p><em>No difference.</em></p>"
        more = len(self) - len(rows)
        note = f"<p>… {plural(more, 'more key')}</p>" if more else ""
        heads = ("type", "key", f"at {self.first}", f"at {self.last}")
        return table_html(heads, rows) + note


class History(Sequence[Event]):
    """What happened to some keys, oldest first. Made by `Watcher.history`.

    Printed, it is a table, and below it from where to where it is complete.

    Attributes
    ----------
    since, until : int
        The revisions from which on, and up to which, nothing is missing. `since` is later than what
        was asked for where nobody knows the beginning any more: what comes before it is what the
        journal happens to have, and, of the revision at which the server was compacted, what was
        written in it: etcd before 3.4.36 and 3.5.18 forgets its deletions.
    """

    def __init__(self, events: Sequence[Event], since: int, until: int) -> None:
        self._events = list(events)
        self.since, self.until = since, until

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204 - as a list does
        return self._events[index]

    def __len__(self) -> int:
        return len(self._events)

    @property
    def values(self) -> list[str | None]:
        """The values alone; None for each deletion."""
        return [each.value for each in self._events]

    def table(self, last: int = SHOWN, *, stable: bool = False) -> str:
        """Lay the last events out as text; `stable` as for `Journal.table`."""
        return list_records(self._events, last, stable=stable)

    def __repr__(self) -> str:
        events = plural(len(self), "event")
        return f"History({events}, {self._extent()})"

    def __str__(self) -> str:
        return f"{self.table()}\n{self._extent()}"

    def _repr_html_(self) -> str:
        table = journal_html(self._events[-SHOWN:], len(self) - len(self._events[-SHOWN:]))
        return f"{table}<p>{self._extent().capitalize()}.</p>"

    def _extent(self) -> str:
        if self.since > self.until:
            return f"maybe not complete: what came before revision {self.since} is forgotten"
        return f"complete from revision {self.since} to {self.until}"


def _kind(difference: Difference) -> str:
    if difference.before is None:
        return "+ created"
    return "✕ deleted" if difference.after is None else "± modified"
