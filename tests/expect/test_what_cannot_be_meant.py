"""Expectations that cannot be meant, and their words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from etcd_watcher import EventType, LocalEtcd, Watcher
from etcd_watcher.expect import AnyOrder, Change, any_order, expired, put
from tests.fake_store import event


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda watcher: watcher.expect(), r"expect\(nothing_else=True\)"),
        (lambda watcher: watcher.expect("a"), r"a step is a change, such as put\('key', 'value'\)"),
        (lambda watcher: watcher.expect(put), "a step is a change"),
        (lambda watcher: watcher.expect(put("a"), within=0), "within=0"),
        (lambda watcher: watcher.expect(put("a"), since=0), "since=0"),
        (lambda watcher: watcher.expect(nothing_else=1), "a key is text or bytes"),
        (lambda _: put("a", 5), "write '5'"),  # type: ignore[arg-type]
        (lambda _: put(""), "a key is empty"),
        (lambda _: put(5), "a key is text or bytes"),  # type: ignore[arg-type]
        (lambda _: put("a", where="b"), "a predicate is called"),  # type: ignore[arg-type]
        (lambda _: any_order("a"), "any_order takes changes"),  # type: ignore[arg-type]
        (lambda _: any_order(), "any_order of nothing"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(
    watcher: Watcher, make: Callable[[Watcher], object], says: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        make(watcher)


def test_the_words_show_what_they_expect() -> None:
    assert [str(put("a", "b")), str(put(b"\xff", prefix=True)), str(expired("a"))] == [
        "put 'a' = 'b'",
        r"put '\udcff…'",
        "expired 'a'",
    ]
    assert put("a").objection(event(1, "a")) is None
    assert EventType.PUT.value == "PUT"


def test_of_a_key_that_is_not_watched_there_is_no_past_to_look_at(
    etcd: LocalEtcd, fresh_key: str
) -> None:
    with Watcher(etcd.url, api="v3") as watcher:
        first = watcher.put(fresh_key, "1")
        watcher.add_key(f"{fresh_key}/a")
        steps: list[tuple[Change | AnyOrder, int]] = [
            (put(fresh_key), first),
            (put(fresh_key), first + 1),  # so that it does not depend on what others write
            (any_order(put(f"{fresh_key}/a"), put(fresh_key)), first),
            (put(f"{fresh_key}/", prefix=True), 1),  # of which one key is watched
        ]
        for step, since in steps:
            with pytest.raises(ValueError, match=r"nothing of .* is not watched: add_key\(\) it"):
                watcher.expect(step, since=since)
        assert watcher.keys == [f"{fresh_key}/a"]
