"""The ground truth from the other side: what those who wrote had asked for, and were told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from etcd_watcher.keys import KeyRange, to_bytes
from etcd_watcher.stores.base import Snapshot
from etcd_watcher.testing.history import Change, History, Transaction, only_key
from etcd_watcher.testing.violation import Violation, quoted

__all__ = ["Delete", "Write", "acknowledged", "delete", "from_writes"]


@dataclass(frozen=True, slots=True)
class Delete:
    """The request to delete every key of a range."""

    scope: KeyRange


def delete(key: str | bytes, *, prefix: bool = False) -> Delete:
    """Give the request to delete a key, or all that start with it."""
    raw = to_bytes(key)
    return Delete(KeyRange.of_prefix(raw) if prefix else KeyRange.of_key(raw))


@dataclass(frozen=True, slots=True)
class Write:
    """A request that was acknowledged: one put or delete, or the operations of one transaction.

    Attributes
    ----------
    revision : int
        The revision that the server answered with.
    operations : sequence of Change or Delete
        What was asked for, made with `put` and `delete`, in the request's order.
    """

    revision: int
    operations: Sequence[Change | Delete]


def from_writes(
    writes: Iterable[Write],
    *,
    base: Snapshot | None = None,
    last: int | None = None,
    compactions: Iterable[int] | None = None,
    versions: bool = True,
) -> History:
    """Make a history of what writers recorded, in any order. They must be all who wrote.

    A deletion that found nothing is answered with the revision of the last change before it, and
    is no change itself. A request that failed may or may not have been committed: where there were
    such, make the history of what a server tells, and hold it against the writers with
    `acknowledged`.

    The parameters are those of `History`.

    Raises
    ------
    ValueError
        Two changes claim one revision, or a transaction changes a key twice.
    """
    living = set() if base is None else {item.raw_key for item in base.items}
    transactions = []
    for revision, together in groupby(
        sorted(writes, key=attrgetter("revision")), attrgetter("revision")
    ):
        changes = _effect(revision, list(together), living)
        if changes:
            transactions.append(Transaction(revision, tuple(changes)))
            _apply(changes, living)
    return History(transactions, base=base, last=last, compactions=compactions, versions=versions)


def _effect(revision: int, writes: list[Write], living: set[bytes]) -> list[Change]:
    """Give the changes of the one write of a revision that had any."""
    if len(writes) == 1:
        return _changes(writes[0], living)
    for write in writes:
        changes = _changes(write, living)
        after = set(living)
        _apply(changes, after)
        # The others were answered with this revision because they changed nothing behind it.
        if not any(_changes(other, after) for other in writes if other is not write):
            return changes
    raise ValueError(f"{len(writes)} writes claim revision {revision}, and each changes something")


def _changes(write: Write, living: set[bytes]) -> list[Change]:
    changes = []
    for operation in write.operations:
        if isinstance(operation, Change):
            changes.append(operation)
        else:
            key = only_key(operation.scope)
            found = living if key is None else living & {key}
            gone = sorted(each for each in found if each in operation.scope)
            changes += [Change(each, None) for each in gone]
    return changes


def _apply(changes: list[Change], living: set[bytes]) -> None:
    for change in changes:
        if change.raw_value is None:
            living.discard(change.raw_key)
        else:
            living.add(change.raw_key)


def acknowledged(history: History, writes: Iterable[Write]) -> list[Violation]:
    """Find writes that the server answered for, but that are not in the history as asked for.

    A put is there at its revision with its value; of a deleted range no key is there at its.
    """
    return [lost for write in writes for lost in _lost(history, write)]


def _lost(history: History, write: Write) -> Iterator[Violation]:
    revision = write.revision
    for operation in write.operations:
        if isinstance(operation, Change):
            key, value = operation.raw_key, operation.raw_value
            found = history.at(key, revision)
            if found is None or (found.revision, found.raw_value) != (revision, value):
                came = "no such key" if found is None else quoted(found.raw_value)
                came += "" if found is None else f" of revision {found.revision}"
                yield Violation("acknowledged", f"{quoted(value or b'')}", came, revision, key)
        else:
            for key in history.living(operation.scope, revision):
                yield Violation("acknowledged", "it deleted", "it still there", revision, key)
