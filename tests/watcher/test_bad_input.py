"""What bad input gets: an error at the call, that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from etcd_watcher import (
    ApiNotServed,
    ConnectionFailed,
    LocalEtcd,
    RequestRejected,
    Subscriber,
    Watcher,
    WatcherClosed,
)
from etcd_watcher.local.ports import free_ports
from tests.clock import sooner_than
from tests.watcher.conftest import News

MIB = 1024 * 1024


@pytest.mark.parametrize("api", ["auto", "v2", "v3"])
def test_no_server_is_said_within_five_seconds(api: str) -> None:
    first, second = free_ports(2)
    endpoints = [f"http://127.0.0.1:{first}", f"http://127.0.0.1:{second}"]
    with sooner_than(5), pytest.raises(ConnectionFailed) as failed:
        Watcher(endpoints, api=api)
    assert all(endpoint in str(failed.value) for endpoint in endpoints)
    assert "LocalEtcd" in str(failed.value)


def test_a_server_that_hangs_is_said_within_five_seconds() -> None:
    with LocalEtcd() as server:
        server.pause()

        def ask(api: str) -> None:
            with pytest.raises(ConnectionFailed, match=server.url):
                Watcher(server.url, api=api)

        with sooner_than(5), ThreadPoolExecutor() as pool:  # each waits for all of its time
            list(pool.map(ask, ["auto", "v2", "v3"]))
        server.resume()


@pytest.mark.parametrize(
    "endpoint",
    ["ftp://host", "http://", "http://host:port", "http://host/v2/keys", "", "two words", 7],
)
def test_an_unusable_url_is_refused(endpoint: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"http://|no endpoint"):
        Watcher([endpoint])


def test_an_unknown_api_is_refused(etcd: LocalEtcd) -> None:
    with pytest.raises(ValueError, match="'auto', 'v2', 'v3'"):
        Watcher(etcd.url, api="v4")


def test_v2_where_it_is_not_served_names_the_flag() -> None:
    with LocalEtcd(v2=False) as server:
        with pytest.raises(ApiNotServed, match=r"--enable-v2.*3\.6"):
            Watcher(server.url, api="v2")
        with Watcher(server.url) as watcher:
            assert watcher.api == "v3"


def test_auto_takes_v2_where_it_is_served(etcd: LocalEtcd) -> None:
    with Watcher(etcd.url) as watcher:
        assert watcher.api == "v2"
        assert "v2" in repr(watcher)


def test_bad_keys_are_refused(watcher: Watcher, news: News) -> None:
    with pytest.raises(ValueError, match="empty"):
        watcher.register("", news, "tell")
    with pytest.raises(TypeError, match="text or bytes"):
        watcher.add_key(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="text or bytes"):
        watcher.put(None, "value")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="empty"):
        watcher.add_key(["good", ""])
    assert watcher.keys == []


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (bytearray(b"key"), r"not bytearray: write bytes\(key\)"),
        (memoryview(b"key"), r"not memoryview: write bytes\(key\)"),
        ([bytearray(b"key")], r"not bytearray: write bytes\(key\)"),
        ([["key"]], r"not list: \['key'\]"),
        ({"key": 1}.items(), r"not tuple: \('key', 1\)"),
        (None, "not NoneType: None"),
    ],
)
def test_what_is_no_key_is_refused_wherever_a_key_is_taken(
    watcher: Watcher, news: News, wrong: Any, complaint: str
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: watcher.add_key(wrong),
        lambda: watcher.remove_key(wrong),
        lambda: watcher.register(wrong, news, "tell"),
        lambda: watcher.unregister(wrong, news),
        lambda: watcher.on(wrong)(print),
        lambda: watcher.events(wrong),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=f"a key is text or bytes, {complaint}"):
            call()
    assert watcher.keys == []


def test_bad_values_are_refused(watcher: Watcher, fresh_key: str) -> None:
    with pytest.raises(TypeError, match=r"json\.dumps"):
        watcher.put(fresh_key, {"a": 1})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="whole seconds"):
        watcher.put(fresh_key, "x", ttl=0)


def test_an_unknown_method_is_named_with_those_that_there_are(
    watcher: Watcher, fresh_key: str
) -> None:
    with pytest.raises(AttributeError, match=r"Luis.*no method 'do_thing'.*do_things"):
        watcher.register(fresh_key, Subscriber("Luis"), "do_thing")
    assert watcher.keys == []


def test_what_cannot_be_called_is_refused(watcher: Watcher, fresh_key: str) -> None:
    with pytest.raises(TypeError, match="something to call"):
        watcher.register(fresh_key, Subscriber("Luis"), "name")
    with pytest.raises(TypeError, match="something to call"):
        watcher.register(fresh_key, Subscriber("Luis"), 7)  # type: ignore[arg-type]


def test_a_callback_that_takes_other_arguments_is_refused_at_once(
    watcher: Watcher, fresh_key: str
) -> None:
    with pytest.raises(TypeError, match="is called with key and value"):
        watcher.register(fresh_key, Subscriber("Luis"), lambda event: event)
    with pytest.raises(TypeError, match="is called with event"):
        watcher.on(fresh_key)(lambda key, value: (key, value))
    assert watcher.keys == []


def test_a_closed_watcher_says_so(watcher: Watcher, fresh_key: str, news: News) -> None:
    watcher.close()
    calls: list[Callable[[], object]] = [
        lambda: watcher.register(fresh_key, news, "tell"),
        lambda: watcher.add_key(fresh_key),
        lambda: watcher.on(fresh_key)(print),
        lambda: watcher.events(fresh_key),
        watcher.sync,
        lambda: watcher.wait_for(fresh_key),
        lambda: watcher.put(fresh_key, "x"),
        lambda: watcher.get(fresh_key),
        lambda: watcher.delete(fresh_key),
    ]
    for call in calls:
        with pytest.raises(WatcherClosed, match="new Watcher"):
            call()
    assert watcher.status.state == "closed"
    assert "closed" in repr(watcher)


def test_an_async_callback_without_a_loop_says_what_to_do(watcher: Watcher, fresh_key: str) -> None:
    async def call(event: object) -> None: ...

    with pytest.raises(RuntimeError, match="event loop"):
        watcher.on(fresh_key)(call)
    assert watcher.keys == []


def test_a_value_over_the_servers_limit_is_refused(etcd: LocalEtcd, fresh_key: str) -> None:
    with Watcher(etcd.url, api="v3") as watcher, pytest.raises(RequestRejected, match="too large"):
        watcher.put(fresh_key, "x" * 2_000_000)


def test_a_failing_callback_is_kept_counted_and_nobody_elses_affair(
    watcher: Watcher, fresh_key: str, news: News, caplog: pytest.LogCaptureFixture
) -> None:
    class Clumsy(Subscriber):
        def stumble(self, key: str, value: str | None) -> None:
            raise LookupError(f"no shelf for {value}")

    clumsy = Clumsy("Rosa")
    watcher.register(fresh_key, clumsy, "stumble")
    watcher.register(fresh_key, news, "tell")
    watcher.put(fresh_key, "one")
    watcher.put(fresh_key, "two")
    watcher.sync()
    assert news.values == ["one", "two"]
    delivery = watcher.delivery(clumsy)
    assert (delivery.delivered, delivery.failed) == (0, 2)
    assert "LookupError: no shelf for two" in delivery.last_error
    assert "no shelf for one" in caplog.text
    assert "Rosa" in caplog.text


def test_on_without_a_key_is_refused_at_once(watcher: Watcher) -> None:
    with pytest.raises(TypeError, match=r'@watcher\.on\("key"\)'):
        watcher.on(print)  # type: ignore[arg-type]


def test_a_predicate_that_is_none_is_refused_at_once(watcher: Watcher, fresh_key: str) -> None:
    with pytest.raises(TypeError, match=r"event\.value == 'done'"):
        watcher.wait_for(fresh_key, "done")  # type: ignore[arg-type]


def test_a_server_object_will_do_for_its_url_and_stays(api: str) -> None:
    with Watcher(LocalEtcd(), api=api) as watcher:
        watcher.put("key", "value")
        assert watcher.get("key") == "value"
    with pytest.raises(TypeError, match="LocalEtcd"):
        Watcher(7)  # type: ignore[arg-type]


def test_keys_too_long_for_one_watch_are_refused_at_once_and_hurt_no_other(
    etcd: LocalEtcd, fresh_key: str, news: News
) -> None:
    with Watcher(etcd.url, api="v3") as watcher:
        watcher.register(fresh_key, news, "tell")
        with pytest.raises(RequestRejected, match="too long"):
            watcher.add_key([b"a" * MIB, b"z" * MIB])
        assert watcher.keys == [fresh_key]
        watcher.put(fresh_key, "on it goes")
        watcher.sync()
        assert news.values == ["on it goes"]


@pytest.mark.parametrize("watchers", [0, 101, True, "1", 2.0])
def test_no_number_of_watchers_for_the_past(etcd: LocalEtcd, watchers: object) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        Watcher(etcd.url, history_watchers=watchers)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [-1, True, "1", 2.0])
def test_no_size_of_a_database(etcd: LocalEtcd, size: object) -> None:
    with pytest.raises(ValueError, match="0 is for never"):
        Watcher(etcd.url, history_copy_bytes=size)  # type: ignore[arg-type]


def test_the_ways_to_read_the_past_can_be_turned_down(etcd: LocalEtcd) -> None:
    with Watcher(etcd.url, api="v3", history_watchers=1, history_copy_bytes=0) as watcher:
        assert watcher._store.history_watchers == 1  # type: ignore[attr-defined]
        assert watcher._store.history_copy_bytes == 0  # type: ignore[attr-defined]


def test_nothing_is_told_of_the_deliveries_of_a_stranger(watcher: Watcher, fresh_key: str) -> None:
    luis = Subscriber("Luis")
    with pytest.raises(ValueError, match=r"'Luis' is not subscribed here; who is: nobody"):
        watcher.delivery("Luis")
    watcher.register(fresh_key, luis, "do_things")
    for stranger in (Subscriber("Ana"), "Luis"):
        with pytest.raises(ValueError, match=r"not subscribed here; who is: .*Luis"):
            watcher.delivery(stranger)
    watcher.unregister(fresh_key, luis)
    with pytest.raises(ValueError, match="not subscribed here"):
        watcher.delivery(luis)


@pytest.mark.parametrize(
    ("misspelt", "named"),
    [
        (lambda watcher: watcher.wait_for("a", time=1), "wait_for"),
        (lambda watcher: watcher.list_keys(begin="a"), "list_keys"),
        (lambda watcher: watcher.register("a", print, print, prefx=True), "register"),
    ],
)
def test_a_misspelt_argument_names_the_method_as_people_know_it(
    watcher: Watcher, misspelt: Callable[[Any], object], named: str
) -> None:
    with pytest.raises(TypeError, match=rf"^Watcher\.{named}\(\)"):
        misspelt(watcher)


@pytest.mark.parametrize("until", ["x", -1, True, 10**6])
def test_history_until_what_is_no_revision_yet(
    watcher: Watcher, fresh_key: str, until: Any
) -> None:
    watcher.put(fresh_key, "1")
    with pytest.raises(ValueError, match="until="):
        watcher.history(fresh_key, until=until)


def test_history_the_wrong_way_round(watcher: Watcher, fresh_key: str) -> None:
    revision = watcher.put(fresh_key, "1")
    with pytest.raises(ValueError, match=r"since=.*comes after until="):
        watcher.history(fresh_key, since=revision, until=revision - 1)


@pytest.mark.parametrize(
    ("endpoints", "complaint"),
    [
        (b"http://127.0.0.1:2379", "URLs as text.* not bytes"),
        ({"a": 1}, "URLs as text.* not dict"),
        ("lesson.jsonl", r"Watcher\(Recording\("),
    ],
)
def test_what_is_no_endpoint_says_what_it_looks_like(endpoints: Any, complaint: str) -> None:
    with pytest.raises((ValueError, TypeError), match=complaint):
        Watcher(endpoints)


@pytest.mark.parametrize("name", ["journal_events", "journal_bytes"])
@pytest.mark.parametrize("room", ["x", -1, 0, True])
def test_no_room_for_a_journal_is_said_by_its_name(name: str, room: Any) -> None:
    (nobody,) = free_ports(1)
    with pytest.raises(ValueError, match=f"{name}="):
        Watcher(f"http://127.0.0.1:{nobody}", **{name: room})


def test_a_write_at_what_is_no_revision_is_refused(watcher: Watcher, fresh_key: str) -> None:
    for revision in ("1", -1, True, None):
        with pytest.raises(ValueError, match=r"read\(key\)\.revision"):
            watcher.compare_and_put(fresh_key, "x", revision)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"read\(key\)\.revision"):
            watcher.compare_and_delete(fresh_key, revision)  # type: ignore[arg-type]


def test_a_prefix_is_yes_or_no(watcher: Watcher, fresh_key: str, news: News) -> None:
    with pytest.raises(TypeError, match="prefix='yes': give True or False"):
        watcher.register(fresh_key, news, "tell", prefix="yes")  # type: ignore[arg-type]
    assert watcher.keys == []


def test_a_subscriber_in_the_place_of_the_key_is_said(watcher: Watcher) -> None:
    with pytest.raises(AttributeError, match=r"order register\(key, who, what\)"):
        watcher.register(Subscriber("Luis"), "a", "do_things")  # type: ignore[arg-type]


def test_a_closed_watcher_begins_nothing(watcher: Watcher) -> None:
    watcher.close()
    with pytest.raises(WatcherClosed):
        watcher.on("a")
    with pytest.raises(WatcherClosed), watcher:
        pass


@pytest.mark.parametrize("last", ["x", 0, -1, True])
def test_a_table_of_no_number_of_records(watcher: Watcher, last: Any) -> None:
    with pytest.raises(ValueError, match="last="):
        watcher.journal.table(last)


def test_no_key_at_all_is_said_where_nobody_would_hear_of_any(watcher: Watcher, news: News) -> None:
    for ask in (
        lambda: watcher.register([], news, "tell"),
        lambda: watcher.add_key([]),
        lambda: watcher.on([]),
        lambda: watcher.events([]),
    ):
        with pytest.raises(ValueError, match="no key is given: name one"):
            ask()
    watcher.unregister([], news)
    watcher.remove_key([])
    assert watcher.keys == []


def test_nobody_has_to_leave_a_closed_watcher(watcher: Watcher, news: News) -> None:
    watcher.register("nokia", news, "tell")
    watcher.close()
    watcher.unregister("nokia", news)
    watcher.unregister("redhat", Subscriber("Luis"))
    assert watcher.get_subscribers("nokia") == [news]  # as it was in the end


def test_a_watcher_that_was_not_made_whole_can_be_shown() -> None:
    assert repr(Watcher.__new__(Watcher)) == "Watcher(not open)"
