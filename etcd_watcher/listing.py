"""Records as rows of text: for people, and in a form that is the same in each run of a lesson."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from etcd_watcher.event import Event, Gap, Record, Status
from etcd_watcher.table import plural, text_table

__all__ = ["StableNames", "is_news", "list_records"]

HEAD = ("revision", "type", "key", "value", "lease")


class StableNames:
    """Names revisions r1, r2, … and leases L1, L2, … in the order in which they first come.

    Two runs of a lesson differ in these numbers when something else wrote to the server before, and
    in nothing else.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._revisions: dict[int, str] = {}
        self._leases: dict[int, str] = {}
        for record in records:
            if type(record) is Event:
                self.revision(record.revision)
                self.lease(record.lease)

    def revision(self, revision: int) -> str:
        """Name a revision."""
        return self._revisions.setdefault(revision, f"r{len(self._revisions) + 1}")

    def lease(self, lease: int) -> str:
        """Name a lease; "" for none."""
        return self._leases.setdefault(lease, f"L{len(self._leases) + 1}") if lease else ""


def is_news(record: Record) -> bool:
    """Tell whether to show a record: of the connection's ups and downs only where it went down."""
    return not isinstance(record, Status) or record.state == "reconnecting"


def list_records(records: Iterable[Record], last: int, *, stable: bool) -> str:
    """Lay out the last of some records as a table, oldest first."""
    shown = [each for each in records if is_news(each)]
    row = _stable_row(StableNames(shown)) if stable else _row
    left_out = len(shown) - len(shown[-last:])
    head = [f"… {plural(left_out, 'earlier record')}"] if left_out else []
    columns = HEAD if stable else HEAD[:-1]
    return "\n".join([*head, *text_table(columns, map(row, shown[-last:]))])


def _row(record: Record) -> Sequence[str]:
    if isinstance(record, Gap):
        return (f"{record.first} to {record.last}", _gap(record), "", record.reason)
    if isinstance(record, Status):
        return ("", record.state.upper(), "", record.reason)
    return (str(record.revision), _kind(record), record.key, record.value or "")


def _stable_row(names: StableNames) -> Callable[[Record], Sequence[str]]:
    def row(record: Record) -> Sequence[str]:
        if isinstance(record, Gap):  # how much was lost is a matter of chance
            return ("…", _gap(record), "", re.sub(r"\d+", "…", record.reason), "")
        if isinstance(record, Status):  # its reason names an address
            return ("", record.state.upper(), "", "", "")
        return (
            names.revision(record.revision),
            _kind(record),
            record.key,
            record.value or "",
            names.lease(record.lease),
        )

    return row


def _kind(event: Event) -> str:
    return ("EXPIRE" if event.expired else event.type.value) + ("*" if event.synthetic else "")


def _gap(gap: Gap) -> str:
    return f"GAP of {gap.subscriber}" if gap.subscriber else "GAP"
