"""What keys were worth, against a dict that is kept beside."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etcd_watcher.keys import KeyRange
from etcd_watcher.states import States
from tests.fake_store import event

ALL = KeyRange.of_prefix(b"")
changes = st.lists(
    st.dictionaries(st.sampled_from("abcd"), st.none() | st.sampled_from("123"), min_size=1),
    max_size=20,
)


@given(changes)
def test_each_moment_is_as_it_was(transactions: list[dict[str, str | None]]) -> None:
    states = States()
    now: dict[str, str] = {}
    moments = [dict(now)]
    for place, transaction in enumerate(transactions, start=1):
        states.add(place, [event(place + 10, *change) for change in transaction.items()])
        for key, value in transaction.items():
            if value is None:
                now.pop(key, None)
            else:
                now[key] = value
        moments.append(dict(now))
    for place, moment in enumerate(moments):
        items = states.items(ALL, place)
        assert {each.raw_key.decode(): each.raw_value.decode() for each in items} == moment
        assert [each.raw_key for each in items] == sorted(each.raw_key for each in items)
        for key in "abcd":
            found = states.value(key.encode(), place)
            assert (None if found is None else found.raw_value.decode()) == moment.get(key)


def test_what_was_before_is_what_the_first_event_tells_of_it() -> None:
    states = States()
    states.add(5, [event(5, "a", "new", prev=b"old")._replace(created=2, version=3)])
    states.add(6, [event(6, "b", None, prev=b"gone")])
    before = states.value(b"a", 4)
    assert before is not None
    assert (before.raw_value, before.revision, before.created, before.version) == (b"old", 0, 2, 2)
    assert [each.raw_value for each in states.items(ALL, 4)] == [b"old", b"gone"]
    assert [each.raw_value for each in states.items(KeyRange.of_key(b"b"), 5)] == [b"gone"]
    assert states.items(KeyRange.of_key(b"b"), 6) == []
    assert states.value(b"c", 9) is None
