"""A response that is read in parts tells what it tells when it is read at once."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etcd_watcher.stores import v3_response, wire
from etcd_watcher.stores.v3_response import Response, Unread
from etcd_watcher.stores.v3_rows import rows


def response(sizes: list[int], **head: Any) -> Any:
    """Make one with a change for each size of a value; three have one revision."""
    made = wire.WatchResponse(**head)
    for number, size in enumerate(sizes):
        kv = {"key": b"k%d" % number, "mod_revision": 7 + number // 3, "value": bytes(size)}
        made.events.add(type=number % 2, kv=kv)
    return made


def parts(changes: Unread) -> list[Any]:
    return [list(part) for part in changes]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 90, 110, 120, 20_000, 70_000]), max_size=40),
    st.integers(-1, 2**40),
    st.booleans(),
)
def test_in_parts_it_tells_the_same(sizes: list[int], watch_id: int, fragment: bool) -> None:  # noqa: FBT001
    made = response(sizes, watch_id=watch_id, fragment=fragment, header={"revision": 2**40})
    read = Response(made.SerializeToString())
    told = list(itertools.chain.from_iterable(read.changes))
    assert told == list(rows(each.kv for each in made.events))
    assert read.changes.count == len(sizes)
    assert read.changes.revisions == len({each.kv.mod_revision for each in made.events})
    assert read.changes.last_revision == (made.events[-1].kv.mod_revision if sizes else 0)
    made.ClearField("events")
    assert read.head == made


def test_few_messages_are_made_at_a_time() -> None:
    made = response([100] * 5000)
    sizes = [len(part) for part in parts(Response(made.SerializeToString()).changes)]
    assert sum(sizes) == 5000
    most = v3_response.PART_BYTES // 100
    assert all(most / 3 < size <= most for size in sizes[:-1])


def test_a_refusal_is_all_head() -> None:
    made = response([], created=True, canceled=True, cancel_reason="Z" * 300, watch_id=-1)
    assert Response(made.SerializeToString()).head == made


def test_what_is_no_response_is_refused() -> None:
    with pytest.raises((ValueError, IndexError)):
        Response(b"\x0d1234")
