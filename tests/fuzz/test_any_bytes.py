"""Keys and values are untrusted bytes: whatever they are, they come as they were written."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etcd_watcher import Event, LocalEtcd, Watcher
from etcd_watcher.errors import RequestRejected
from etcd_watcher.keys import to_bytes, to_text
from tests.fuzz.depth import drawn, patient

MEGABYTE = 1024 * 1024

LONG = b"k" * (MEGABYTE - 100)
"""About the longest key that can be watched: a watch names a range by both of its ends."""

KEYS = st.binary(max_size=8) | st.sampled_from(
    [
        b"\0",
        b"\0\0",
        b"\xff",
        b"\xff\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\n",
        b"/",
        b"//",
        b"..",
        b"%",
    ]
)
"""Short ones, so that one is often another's prefix."""

VALUES = st.binary(max_size=40) | st.sampled_from(
    [b"", b"\0", b"\xff\xfe", b"\xed\xb3\xbf", b"\r\n"]
)

Operation = tuple[str, bytes, bytes]
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "delete"]), KEYS, VALUES),
    min_size=1,
    max_size=12,
)

TEXTS = st.text(max_size=10) | st.text("/._%#?&+;\\ \0\x7f\udcff\ud800aä", max_size=6)
"""Any characters, lone surrogates among them, and those that mean something in a path or URL."""


class Told:
    """Keeps what each way of being told gave."""

    def __init__(self) -> None:
        self.values: list[tuple[str, str | None]] = []
        self.events: list[Event] = []

    def tell(self, key: str, value: str | None) -> None:
        self.values.append((key, value))


@pytest.fixture(scope="module")
def v3(etcd: LocalEtcd) -> Iterator[Watcher]:
    with Watcher(etcd.url, api="v3") as watcher:
        yield watcher


@pytest.fixture(scope="module")
def v2(etcd: LocalEtcd) -> Iterator[Watcher]:
    with Watcher(etcd.url, api="v2") as watcher:
        yield watcher


@drawn(few=60, many=3000)
def test_on_v3_any_bytes_come_as_they_were_written(v3: Watcher, examples: int) -> None:
    @patient(examples)
    @given(OPERATIONS)
    @example([("put", b"big", b"\0" * MEGABYTE), ("put", b"big", b"\xff" * MEGABYTE)])
    @example([("put", LONG, b""), ("delete", LONG, b"")])
    def told_as_written(operations: list[Operation]) -> None:
        place = secrets.token_bytes(12)  # bytes that are hardly ever UTF-8
        keys = list(dict.fromkeys(place + key for _, key, _ in operations))
        told = Told()
        v3.register(keys, told, "tell")
        v3.on(place, prefix=True)(told.events.append)
        with v3.events(place, prefix=True) as stream:
            expected, state = carried_out(v3, place, operations)
            v3.sync()
            pulled = list(itertools.islice(stream, len(expected)))
        wanted = [(key, value) for key, value, _ in expected]
        assert told.values == [
            (to_text(key), None if value is None else to_text(value)) for key, value in wanted
        ]
        assert [(each.raw_key, each.raw_value) for each in told.events] == wanted
        assert [each.raw_prev_value for each in told.events] == [
            before for _, _, before in expected
        ]
        assert pulled == told.events
        assert v3.journal.events(place, prefix=True)[-len(wanted) :] == told.events or not wanted
        for key in keys:
            value = state.get(key)
            assert v3.get(key) == (None if value is None else to_text(value))
        for each in told.events:
            assert to_bytes(each.key) == each.raw_key
            assert each.value is None or to_bytes(each.value) == each.raw_value
            assert repr(each).isprintable()
        v3.unregister(keys, told)
        v3.remove_key(place)
        assert not any(map(v3.get_subscribers, [*keys, place]))

    told_as_written()


def carried_out(
    watcher: Watcher, place: bytes, operations: list[Operation]
) -> tuple[list[tuple[bytes, bytes | None, bytes | None]], dict[bytes, bytes]]:
    """Do them, and give what should be told of them, and what is there afterwards."""
    expected: list[tuple[bytes, bytes | None, bytes | None]] = []
    state: dict[bytes, bytes] = {}
    for name, part, value in operations:
        key = place + part
        before = state.pop(key, None)
        if name == "put":
            watcher.put(key, value)
            state[key] = value
            expected.append((key, value, before))
        else:
            assert watcher.delete(key) == (before is not None)
            if before is not None:
                expected.append((key, None, before))
    return expected, state


@drawn(few=60, many=3000)
def test_any_text_is_a_key_and_a_value_or_an_error_at_once(
    v3: Watcher, v2: Watcher, examples: int
) -> None:
    """No text is quietly taken for another; what one API cannot have is a ValueError, or refused."""

    @patient(examples)
    @given(TEXTS, TEXTS, st.sampled_from(["v2", "v3"]))
    @example("a/../b", "", "v2")
    @example("\udcff", "\udcff", "v3")
    @example("key", "x" * MEGABYTE, "v3")
    @example("key", "x" * MEGABYTE, "v2")
    @example("key", "", "v2")
    @example("a\0b", "\0", "v2")
    def told_or_refused(name: str, value: str, api: str) -> None:
        watcher = {"v2": v2, "v3": v3}[api]
        key = f"{secrets.token_hex(8)}/{name}"
        told = Told()
        try:
            watcher.register(key, told, "tell")
        except ValueError:
            assert api == "v2" or not encodable(key)
            assert watcher.keys == []
            return
        try:
            watcher.put(key, value)
        except (ValueError, RequestRejected):
            assert api == "v2" or not encodable(value)
            watcher.sync()
            assert told.values == []
        else:
            watcher.sync()
            assert told.values == [(key, value)]
            assert watcher.get(key) == value
        watcher.unregister(key, told)
        assert watcher.keys == []

    told_or_refused()


def encodable(text: str) -> bool:
    try:
        return to_text(to_bytes(text)) == text
    except UnicodeEncodeError:
        return False
