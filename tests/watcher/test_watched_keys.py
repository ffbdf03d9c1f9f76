"""`watched_keys`: who is interested in what, for others to show."""

from __future__ import annotations

from collections.abc import Callable

from etcd_watcher import Event, Subscriber, Watcher
from tests.watcher.conftest import News


def of(watcher: Watcher, key: str) -> list[tuple[object, object, bool]]:
    (found,) = [each for each in watcher.watched_keys if each.key == key]
    return [(each.who, each.what, each.takes_event) for each in found.interests]


def test_it_tells_keys_and_prefixes_with_who_and_what(
    watcher: Watcher, fresh_key: str, news: News
) -> None:
    luis = Subscriber("Luis")
    watcher.add_key(f"{fresh_key}-a")
    watcher.register(f"{fresh_key}-b", luis, "do_things")
    watcher.register(f"{fresh_key}-b", news, news.tell)

    @watcher.on(f"{fresh_key}-c", prefix=True)
    def show(event: Event) -> None:
        pass

    assert [each.key for each in watcher.watched_keys] == watcher.keys
    assert [each.prefix for each in watcher.watched_keys] == [False, False, True]
    assert of(watcher, f"{fresh_key}-a") == []
    assert of(watcher, f"{fresh_key}-b") == [
        (luis, "do_things", False),
        (news, news.tell, False),
    ]
    assert of(watcher, f"{fresh_key}-c") == [(show, show, True)]


def test_it_is_the_same_object_until_something_changes(
    watcher: Watcher, fresh_key: str, news: News
) -> None:
    luis = Subscriber("Luis")
    changes: list[Callable[[], object]] = [
        lambda: watcher.add_key(fresh_key),
        lambda: watcher.register(fresh_key, luis, "do_things"),
        lambda: watcher.register(fresh_key, luis, luis.do_things),
        lambda: watcher.register(fresh_key, news, "tell"),
        lambda: watcher.unregister(fresh_key, luis),
        lambda: watcher.register(f"{fresh_key}-2", luis, "do_things"),
        lambda: watcher.remove_key(fresh_key),
        lambda: watcher.unregister(f"{fresh_key}-2", luis),
    ]
    for change in changes:
        before = watcher.watched_keys
        assert watcher.watched_keys is before
        change()
        assert watcher.watched_keys is not before
    assert watcher.watched_keys == ()


def test_who_was_replaced_is_told_with_what_took_the_place(
    watcher: Watcher, fresh_key: str
) -> None:
    luis = Subscriber("Luis")
    watcher.register(fresh_key, luis, "do_things")
    watcher.register(fresh_key, luis, print)
    assert of(watcher, fresh_key) == [(luis, print, False)]


def test_a_stream_is_nobody(watcher: Watcher, fresh_key: str) -> None:
    with watcher.events(fresh_key):
        assert not watcher.watched_keys
        watcher.add_key(fresh_key)
        assert of(watcher, fresh_key) == []
