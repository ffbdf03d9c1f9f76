"""Reading many changes at once tells what reading each by itself does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etcd_watcher.stores import v3_rows, wire
from etcd_watcher.stores.v3_rows import FEW, Row, rows, stored_rows, told_rows

NUMBERS = st.sampled_from([0, 1, 127, 128, 2**40, 2**63 - 1])
TEXTS = st.sampled_from([b"", b"a", b"\x08\x01", b"\x00\xff" * 70])
MESSAGES = st.builds(
    wire.KeyValue,
    key=TEXTS,
    value=TEXTS,
    mod_revision=NUMBERS,
    create_revision=NUMBERS,
    version=NUMBERS,
    lease=NUMBERS,
)
ALIKE = wire.KeyValue(key=b"k", value=b"v", mod_revision=7, create_revision=3, version=2, lease=9)
SOME = st.lists(MESSAGES, max_size=6)
MANY = st.builds(
    lambda first, number, last: [*first, *[ALIKE] * number, *last],
    SOME,
    st.sampled_from([0, 1, FEW - 1, FEW, 3 * FEW]),
    SOME,
)


def one_by_one(messages: list[Any]) -> list[Row]:
    return [
        (each.key, each.value, each.mod_revision, each.create_revision, each.version, each.lease)
        for each in messages
    ]


@settings(deadline=None)
@given(MANY)
def test_all_ways_tell_the_same(messages: list[Any]) -> None:
    expected = one_by_one(messages)
    assert list(rows(messages)) == expected
    assert list(stored_rows([each.SerializeToString() for each in messages])) == expected
    told = wire.WatchResponse()
    for each in messages:
        told.events.add(type=int(not each.version), kv=each)
    assert list(told_rows(told.SerializeToString(), len(messages))) == expected


@pytest.mark.parametrize(
    "lacking", [[], ["lease"], ["lease", "value"], ["version", "create_revision"]]
)
def test_where_all_are_alike_none_is_read_by_itself(
    lacking: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(v3_rows, "rows")
    message = wire.KeyValue.FromString(ALIKE.SerializeToString())
    for each in lacking:
        message.ClearField(each)
    encoded = [message.SerializeToString()] * (3 * FEW)
    assert list(stored_rows(encoded)) == one_by_one([message] * len(encoded))


def test_where_a_few_are_not_alike_only_their_neighbours_are_read_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []

    def noted(messages: Any) -> Any:
        made.extend(some := list(messages))
        return rows(some)

    monkeypatch.setattr(v3_rows, "rows", noted)
    messages = [ALIKE] * (4 * FEW)
    messages[FEW + 5] = wire.KeyValue(key=b"k", mod_revision=7)
    assert list(stored_rows([each.SerializeToString() for each in messages])) == one_by_one(
        messages
    )
    assert len(made) == FEW
