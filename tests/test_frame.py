"""The journal as a pandas table."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from etcd_watcher import Event, EventType, Gap, Journal, Status
from etcd_watcher.event import Record
from tests.fake_store import event

LEASE = 7587869134444201987
"""A double would round it."""


def journal() -> Journal:
    journal = Journal()
    records: list[Record] = [
        event(2, "a", "1")._replace(lease=LEASE),
        Status("reconnecting"),
        event(3, b"\xff", None, prev=b"\xfe")._replace(expired=True, action="expire"),
        Gap(4, 9, "compacted"),
        event(9, "b", "2")._replace(synthetic=True),
    ]
    journal.append(records, [1.5, 2.0, 1795669200.123457, 4.0, 5.0])
    return journal


def test_each_event_is_a_row_with_its_types() -> None:
    pd = pytest.importorskip("pandas")
    frame = journal().to_pandas()
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "time": "datetime64[us, UTC]",
        "revision": "int64",
        "type": "category",
        "key": "string",
        "value": "string",
        "prev_value": "string",
        "created": "Int64",
        "version": "Int64",
        "lease": "Int64",
        "action": "category",
        "expired": "bool",
        "synthetic": "bool",
    }
    assert list(frame["revision"]) == [2, 3, 9]
    assert list(frame["lease"].fillna(0)) == [LEASE, 0, 0]
    assert list(frame["key"]) == ["a", "\udcff", "b"]
    assert list(frame["value"].isna()) == [False, True, False]
    assert frame["time"][1] == pd.Timestamp("2026-11-26T05:00:00.123457Z")
    assert list(frame["type"]) == ["PUT", "DELETE", "PUT"]
    assert list(frame["expired"]) == [False, True, False]
    assert frame.attrs["gaps"] == [(4, 9, "compacted")]


def test_an_empty_journal_is_an_empty_table_of_the_same_types() -> None:
    pytest.importorskip("pandas")
    frame = Journal().to_pandas()
    assert len(frame) == 0
    assert list(map(str, frame.dtypes)) == list(map(str, journal().to_pandas().dtypes))
    assert frame.attrs == {}


def test_every_field_of_an_event_is_a_column() -> None:
    pytest.importorskip("pandas")
    fields = {name.removeprefix("raw_") for name in Event._fields}
    assert fields | {"time"} == set(journal().to_pandas().columns)
    assert EventType.PUT.value == "PUT"


def test_without_pandas_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "pandas":
            raise ImportError("no pandas here")
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"pip install 'etcd-watcher\[pandas\]'"):
        journal().to_pandas()
