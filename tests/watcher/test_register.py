"""Who is told of what: the seed's API, on both of etcd's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from etcd_watcher import Event, LocalEtcd, Subscriber, Watcher
from tests.watcher.conftest import News


def test_a_change_by_another_client_reaches_the_subscriber(
    watcher: Watcher, etcd: LocalEtcd, api: str, fresh_key: str, news: News
) -> None:
    watcher.register(fresh_key, news, "tell")
    etcd.put(fresh_key, "one", api=api)
    etcd.put(fresh_key, "two", api=api)
    etcd.delete(fresh_key, api=api)
    watcher.sync()
    assert news.told == [(fresh_key, "one"), (fresh_key, "two"), (fresh_key, None)]


def test_what_happened_before_register_is_not_told(
    watcher: Watcher, fresh_key: str, news: News
) -> None:
    watcher.put(fresh_key, "old")
    watcher.register(fresh_key, news, "tell")
    watcher.put(fresh_key, "new")
    watcher.sync()
    assert news.values == ["new"]


def test_a_later_subscriber_is_told_of_later_changes_only(watcher: Watcher, fresh_key: str) -> None:
    first, second = News(), News()
    watcher.register(fresh_key, first, "tell")
    watcher.put(fresh_key, "one")
    watcher.register(fresh_key, second, "tell")
    watcher.put(fresh_key, "two")
    watcher.sync()
    assert first.values == ["one", "two"]
    assert second.values == ["two"]


def test_subscribers_come_in_the_order_in_which_they_came(watcher: Watcher, fresh_key: str) -> None:
    luis, antonio, juan = Subscriber("Luis"), Subscriber("Antonio"), Subscriber("Juan")
    for who in (luis, antonio, juan):
        watcher.register(fresh_key, who, "do_things")
    assert watcher.get_subscribers(fresh_key) == [luis, antonio, juan]
    watcher.unregister(fresh_key, antonio)
    assert watcher.get_subscribers(fresh_key) == [luis, juan]
    assert watcher.get_subscribers(fresh_key + "-other") == []


def test_an_unregistered_subscriber_is_told_no_more(watcher: Watcher, fresh_key: str) -> None:
    staying, leaving = News(), News()
    watcher.register(fresh_key, staying, "tell")
    watcher.register(fresh_key, leaving, "tell")
    watcher.put(fresh_key, "one")
    watcher.sync()
    watcher.unregister(fresh_key, leaving)
    watcher.put(fresh_key, "two")
    watcher.sync()
    assert staying.values == ["one", "two"]
    assert leaving.values == ["one"]


def test_the_last_subscribers_leaving_removes_the_key(
    watcher: Watcher, fresh_key: str, news: News
) -> None:
    watcher.add_key(fresh_key)
    assert watcher.keys == [fresh_key]
    watcher.register(fresh_key, news, "tell")
    watcher.unregister(fresh_key, news)
    assert watcher.keys == []


def test_unregistering_a_stranger_changes_nothing(
    watcher: Watcher, fresh_key: str, news: News
) -> None:
    watcher.register(fresh_key, news, "tell")
    watcher.unregister(fresh_key, News())
    watcher.unregister(fresh_key + "-other", news)
    assert watcher.get_subscribers(fresh_key) == [news]


def test_remove_key_takes_its_subscribers_along(
    watcher: Watcher, fresh_key: str, news: News
) -> None:
    watcher.register(fresh_key, news, "tell")
    watcher.remove_key(fresh_key)
    watcher.remove_key("unknown")
    watcher.put(fresh_key, "unseen")
    watcher.sync()
    assert news.told == []
    assert watcher.keys == []


def test_a_key_without_subscribers_goes_to_the_journal(watcher: Watcher, fresh_key: str) -> None:
    watcher.add_key(fresh_key)
    watcher.put(fresh_key, "seen")
    watcher.put(fresh_key + "-other", "not watched")
    watcher.sync()
    assert [event.value for event in watcher.journal.events()] == ["seen"]


def test_registering_again_replaces_the_callback(watcher: Watcher, fresh_key: str) -> None:
    who = object()
    first: list[str | None] = []
    second: list[str | None] = []
    watcher.register(fresh_key, who, lambda _, value: first.append(value))
    watcher.put(fresh_key, "one")
    watcher.sync()
    watcher.register(fresh_key, who, lambda _, value: second.append(value))
    watcher.put(fresh_key, "two")
    watcher.sync()
    assert (first, second) == (["one"], ["two"])
    assert watcher.get_subscribers(fresh_key) == [who]


def test_a_prefix_tells_the_events_own_key(
    watcher: Watcher, api: str, fresh_key: str, news: News
) -> None:
    watcher.register(f"{fresh_key}/", news, "tell", prefix=True)
    watcher.put(f"{fresh_key}/a", "1")
    watcher.put(f"{fresh_key}/b/c", "2")
    watcher.put(f"{fresh_key}x", "outside")
    watcher.delete(f"{fresh_key}/a")
    watcher.sync()
    slash = "/" if api == "v2" else ""
    assert news.told == [
        (f"{slash}{fresh_key}/a", "1"),
        (f"{slash}{fresh_key}/b/c", "2"),
        (f"{slash}{fresh_key}/a", None),
    ]


def test_one_subscriber_gets_all_its_keys_in_revision_order(
    watcher: Watcher, fresh_key: str, news: News
) -> None:
    keys = [f"{fresh_key}-{number}" for number in range(5)]
    watcher.register(keys, news, "tell")
    for number in range(200):
        watcher.put(keys[number % 5], str(number))
    watcher.sync()
    assert news.values == [str(number) for number in range(200)]


def test_on_calls_the_function_with_the_event(watcher: Watcher, fresh_key: str) -> None:
    events: list[Event] = []

    @watcher.on(fresh_key)
    def keep(event: Event) -> None:
        events.append(event)

    watcher.put(fresh_key, "one")
    revision = watcher.put(fresh_key, "two")
    watcher.sync()
    assert [event.value for event in events] == ["one", "two"]
    assert events[1].prev_value == "one"
    assert events[1].revision == revision
    assert watcher.get_subscribers(fresh_key) == [keep]
    watcher.unregister(fresh_key, keep)
    assert watcher.get_subscribers(fresh_key) == []


@pytest.fixture
def burning() -> Iterator[None]:
    """Keep the other core busy."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield
    busy.kill()
    busy.wait()


@pytest.mark.usefixtures("burning")
@pytest.mark.parametrize("times", [300, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_put_on_the_next_line_is_never_missed(
    watcher: Watcher, fresh_key: str, times: int
) -> None:
    missed = 0
    for number in range(times):
        news = News()
        key = f"{fresh_key}-{number % 50}"
        watcher.register(key, news, "tell")
        watcher.put(key, str(number))
        watcher.sync()
        missed += news.values != [str(number)]
        watcher.unregister(key, news)
    assert missed == 0


def test_the_journal_finds_a_key_as_the_store_understands_it(
    watcher: Watcher, api: str, fresh_key: str
) -> None:
    watcher.add_key(fresh_key)
    watcher.put(fresh_key, "x")
    watcher.sync()
    assert [event.value for event in watcher.journal.events(fresh_key)] == ["x"]
    assert bool(watcher.journal.events("/" + fresh_key)) == (api == "v2")


def test_a_key_can_be_kept_when_the_last_one_leaves(
    watcher: Watcher, fresh_key: str, news: News
) -> None:
    watcher.register(fresh_key, news, "tell")
    watcher.unregister(fresh_key, news, keep=True)
    assert watcher.keys == [fresh_key]
    watcher.put(fresh_key, "one")
    watcher.sync()
    assert [each.value for each in watcher.journal.events(fresh_key)] == ["one"]
    assert news.told == []


def test_a_key_and_the_prefix_of_its_name_are_left_and_removed_one_by_one(
    watcher: Watcher, fresh_key: str, news: News
) -> None:
    for prefix in (False, True):
        watcher.register(fresh_key, news, "tell", prefix=prefix)
    watcher.unregister(fresh_key, news, prefix=True)
    assert [each.prefix for each in watcher.watched_keys] == [False]
    watcher.register(fresh_key, news, "tell", prefix=True)
    watcher.remove_key(fresh_key, prefix=False)
    assert [each.prefix for each in watcher.watched_keys] == [True]
    for prefix in (False, True):
        watcher.register(fresh_key, news, "tell", prefix=prefix)
    watcher.unregister(fresh_key, news)
    assert watcher.keys == []
