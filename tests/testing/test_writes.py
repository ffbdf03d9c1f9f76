"""The ground truth by those who wrote it."""

from __future__ import annotations

import pytest

from etcd_watcher.stores.base import KeyValue, Snapshot
from etcd_watcher.testing import (
    Change,
    History,
    Transaction,
    Write,
    acknowledged,
    delete,
    from_writes,
    put,
)


def changes(history: History) -> list[tuple[int, str, str | None]]:
    return [(each.revision, each.key, each.value) for each in history]


def test_writes_may_come_in_any_order() -> None:
    writes = [
        Write(4, [delete("k/", prefix=True), put("other", "1")]),
        Write(2, [put("k/b", "1")]),
        Write(3, [put("k/a", "1")]),
    ]
    assert changes(from_writes(writes)) == [
        (2, "k/b", "1"),
        (3, "k/a", "1"),
        (4, "k/a", None),
        (4, "k/b", None),
        (4, "other", "1"),
    ]


def test_a_deletion_that_found_nothing_is_no_change() -> None:
    """The server answers it with the revision of the last change before it."""
    nothing = Write(2, [delete("nobody")])
    for writes in ([nothing, Write(2, [put("a", "1")])], [Write(2, [put("a", "1")]), nothing]):
        assert changes(from_writes(writes)) == [(2, "a", "1")]
    assert changes(from_writes([nothing])) == []


def test_of_two_deletions_at_one_revision_the_one_that_found_more_was_first() -> None:
    base = Snapshot(4, [KeyValue(key, b"", 4, 4, 1, 0) for key in (b"k/a", b"k/b")])
    one, all_of_them = Write(5, [delete("k/a")]), Write(5, [delete("k/", prefix=True)])
    for writes in ([one, all_of_them], [all_of_them, one]):
        history = from_writes(writes, base=base)
        assert changes(history) == [(5, "k/a", None), (5, "k/b", None)]


def test_two_changes_cannot_have_one_revision() -> None:
    with pytest.raises(ValueError, match="2 writes claim revision 2"):
        from_writes([Write(2, [put("a", "1")]), Write(2, [put("b", "1")])])


HISTORY = History(
    [
        Transaction(2, (put("a", "1"), put("b", "1"))),
        Transaction(3, (Change(b"a", None),)),
        Transaction(4, (put("a", "2"),)),
    ]
)


def test_acknowledged_writes_are_there() -> None:
    writes = [
        Write(2, [put("a", "1"), put("b", "1")]),
        Write(3, [delete("a")]),
        Write(3, [delete("nobody", prefix=True)]),
        Write(4, [put("a", "2")]),
    ]
    assert acknowledged(HISTORY, writes) == []


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (Write(4, [put("a", "3")]), "key 'a': expected '3'; came '2' of revision 4"),
        (Write(4, [put("b", "1")]), "key 'b': expected '1'; came '1' of revision 2"),
        (Write(3, [put("a", "1")]), "key 'a': expected '1'; came no such key"),
        (Write(2, [delete("a")]), "key 'a': expected it deleted; came it still there"),
        (Write(4, [delete("", prefix=True)]), "key 'a': expected it deleted; came it still there"),
    ],
)
def test_lost_ones_are_named(write: Write, said: str) -> None:
    first = acknowledged(HISTORY, [write])[0]
    assert str(first) == f"acknowledged: revision {write.revision}, {said}"
