"""The HTML forms of events, journals and watchers: static, escaped, at home in any theme."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from etcd_watcher.endpoints import is_loopback
from etcd_watcher.event import Event, Gap, Status, kind_of
from etcd_watcher.table import one_line, plural

if TYPE_CHECKING:
    from etcd_watcher.journal import Journal, Record

__all__ = ["card_html", "code", "event_html", "journal_html", "table_html", "text", "watcher_html"]

SIGNS = {"created": "+", "modified": "±", "deleted": "✕", "expired": "✕"}

VALUE_WIDTH = 200
"""Characters of a value that a table shows; the whole is in the event."""


def text(value: object, width: int = VALUE_WIDTH) -> str:
    """Give untrusted text for use between tags."""
    return escape(one_line(str(value), width))


def table_html(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out rows of ready HTML cells; colours are the page's own, so it fits light and dark."""
    cell = 'style="text-align:left;padding:2px 8px;white-space:pre-wrap;overflow-wrap:anywhere"'
    heads = "".join(f'<th scope="col" {cell}>{escape(each)}</th>' for each in head)
    body = "".join(
        "<tr>" + "".join(f"<td {cell}>{each}</td>" for each in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def card_html(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Show a title over a table of names and ready HTML cells."""
    cell = 'style="text-align:left;padding:2px 8px;overflow-wrap:anywhere"'
    body = "".join(
        f'<tr><th scope="row" {cell}>{escape(name)}</th><td {cell}>{value}</td></tr>'
        for name, value in rows
    )
    return f"<div><strong>{escape(title)}</strong><table><tbody>{body}</tbody></table></div>"


def code(value: str | None, width: int = VALUE_WIDTH) -> str:
    """Give an untrusted key or value in a fixed-width face; None as a dash."""
    return "—" if value is None else f"<code>{text(value, width)}</code>"


def event_html(event: Event) -> str:
    """Give an event as a small card."""
    rows = [
        ("key", code(event.key)),
        ("value", code(event.value)),
        ("value before", code(event.prev_value)),
        ("revision", str(event.revision)),
    ]
    if event.version:
        rows.append(("version", str(event.version)))
    if event.lease:
        rows.append(("lease", f"{event.lease:x}"))
    return card_html(_kind(event), rows)


def journal_html(records: Sequence[Record], left_out: int) -> str:
    """Give the last records as a table, and say how many come before them."""
    rows = [_journal_row(record) for record in records]
    note = f"<p>… {plural(left_out, 'earlier record')}</p>" if left_out else ""
    if not rows:
        return "<p><em>No change yet.</em></p>"
    return note + table_html(("revision", "type", "key", "value", "value before"), rows)


def watcher_html(
    api: str,
    endpoints: Sequence[str],
    status: Status,
    keys: Sequence[tuple[str, bool, list[str]]],
    journal: Journal,
) -> str:
    """Show how a watcher stands, and who is subscribed to what (the first 50 keys)."""
    reason = f": {text(status.reason)}" if status.reason else ""
    facts = card_html(
        f"Watcher ({api})",
        [
            ("endpoints", text(", ".join(dict.fromkeys(map(_place, endpoints))))),
            ("state", text(status.state) + reason),
            ("journal", text(repr(journal))),
        ],
    )
    rows = [
        (code(key) + ("…" if prefix else ""), text(", ".join(names)) or "—")
        for key, prefix, names in keys[:50]
    ]
    more = f"<p>… {plural(len(keys) - 50, 'more key')}</p>" if len(keys) > 50 else ""  # noqa: PLR2004
    return facts + (table_html(("key", "subscribers"), rows) + more if rows else "")


def _place(endpoint: str) -> str:
    """Name an endpoint, without the port of a local one.

    A `LocalEtcd` has another port at each start: with it, a saved notebook would differ from every
    run. `Watcher.endpoints` tells it.
    """
    return "this machine" if is_loopback(endpoint) else endpoint


def _kind(event: Event) -> str:
    """Tell created, modified, deleted and expired apart in words, not in colours."""
    kind = kind_of(event)
    return f"{SIGNS[kind]} {kind}" + (" (resync)" if event.synthetic else "")


def _journal_row(record: Record) -> Sequence[str]:
    if isinstance(record, Gap):
        kind = f"gap of {record.subscriber}" if record.subscriber else "gap"
        return (f"{record.first} to {record.last}", text(kind), "", text(record.reason), "")
    if isinstance(record, Status):
        return ("", text(record.state), "", text(record.reason), "")
    return (
        str(record.revision),
        _kind(record),
        code(record.key),
        code(record.value),
        code(record.prev_value),
    )
