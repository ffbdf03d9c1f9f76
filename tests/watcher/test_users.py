"""A server with users: who may read only some keys can watch these."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator

import pytest

from etcd_watcher import LocalEtcd, RequestRejected, Watcher
from tests.watcher.conftest import News


def ask(server: LocalEtcd, path: str, **body: object) -> None:
    send(server, path, body)


def coded(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.fixture
def guarded(any_version: str) -> Iterator[LocalEtcd]:
    """A server on which Luis may use the keys that start with "news/", and no others."""
    with LocalEtcd(version=any_version) as server:
        ask(server, "user/add", name="root", password="root's")
        ask(server, "user/add", name="luis", password="secret")
        ask(server, "role/add", name="root")
        ask(server, "role/add", name="reader")
        permission = {"permType": "READWRITE", "key": coded(b"news/"), "range_end": coded(b"news0")}
        ask(server, "role/grant", name="reader", perm=permission)
        ask(server, "user/grant", user="root", role="root")
        ask(server, "user/grant", user="luis", role="reader")
        ask(server, "enable")
        yield server


def test_what_a_user_may_read_can_be_watched_and_the_rest_says_so(
    guarded: LocalEtcd, news: News
) -> None:
    with Watcher(guarded.url, api="v3", user="luis", password="secret") as watcher:
        watcher.register("news/nokia", news, "tell")
        watcher.put("news/nokia", "one")
        watcher.sync()
        with pytest.raises(
            RequestRejected, match="permission denied: user 'luis' may not read 'other'"
        ):
            watcher.register("other", news, "tell")
        assert watcher.keys == ["news/nokia"]
        watcher.register("news/", news, "tell", prefix=True)
        watcher.put("news/redhat", "two")
        watcher.sync()
        assert news.values == ["one", "two"]


def test_a_wrong_password_is_said_at_once_and_never_repeated(guarded: LocalEtcd) -> None:
    with pytest.raises(RequestRejected, match="authentication failed") as refused:
        Watcher(guarded.url, api="v3", user="luis", password="hunter2")
    assert "hunter2" not in str(refused.value)


def grant(server: LocalEtcd, key: bytes, end: bytes = b"") -> None:
    """Let Luis read more."""
    login = {"name": "root", "password": "root's"}
    token = json.loads(send(server, "authenticate", login))["token"]
    perm = {"permType": "READWRITE", "key": coded(key), "range_end": coded(end)}
    send(server, "role/grant", {"name": "reader", "perm": perm}, token)


def send(server: LocalEtcd, path: str, body: object, token: str = "") -> bytes:
    headers = {"Authorization": token} if token else {}
    url, content = f"{server.url}/v3/auth/{path}", json.dumps(body).encode()
    request = urllib.request.Request(url, content, headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
        return bytes(answer.read())


@pytest.fixture
def parted(guarded: LocalEtcd) -> LocalEtcd:
    """The same server, on which Luis may read "weather/" and the key "zoo", too."""
    grant(guarded, b"weather/", b"weather0")
    grant(guarded, b"zoo")
    return guarded


def test_keys_in_several_parts_are_watched_together_and_told_in_order(
    parted: LocalEtcd, news: News
) -> None:
    with Watcher(parted.url, api="v3", user="luis", password="secret") as watcher:
        watcher.register("news/", news, "tell", prefix=True)
        watcher.register("weather/", news, "tell", prefix=True)
        watcher.register("zoo", news, "tell")
        expected = []
        for number in range(100):
            key = ("news/a", "weather/b", "zoo", "news/c")[number % 4]
            watcher.put(key, str(number))
            expected.append((key, str(number)))
            if number % 10 == 0:
                watcher.sync()
                assert news.told == expected
        watcher.sync()
        assert news.told == expected
        with pytest.raises(RequestRejected, match=r"'luis' may not read 'other'.*news/"):
            watcher.register("other", news, "tell")
        with pytest.raises(RequestRejected, match="may not read what starts with 'n'"):
            watcher.register("n", news, "tell", prefix=True)
        watcher.put("zoo", "still")
        watcher.sync()
        assert news.told == [*expected, ("zoo", "still")]


def test_what_a_user_may_read_in_parts_is_told_again_after_a_restart(
    parted: LocalEtcd, news: News
) -> None:
    with Watcher(parted.url, api="v3", user="luis", password="secret") as watcher:
        watcher.register(["news/a", "weather/b"], news, "tell")
        watcher.put("news/a", "1")
        parted.restart()
        with Watcher(parted.url, api="v3", user="luis", password="secret") as another:
            another.put("weather/b", "2")
            another.put("news/a", "3")
        watcher.sync()
        assert news.told == [("news/a", "1"), ("weather/b", "2"), ("news/a", "3")]


def test_a_new_right_can_be_used_at_once(guarded: LocalEtcd, news: News) -> None:
    with Watcher(guarded.url, api="v3", user="luis", password="secret") as watcher:
        watcher.register("news/a", news, "tell")
        with pytest.raises(RequestRejected, match="may not read 'zoo'"):
            watcher.register("zoo", news, "tell")
        grant(guarded, b"zoo")
        watcher.register("zoo", news, "tell")
        watcher.put("zoo", "1")
        watcher.put("news/a", "2")
        watcher.sync()
        assert news.told == [("zoo", "1"), ("news/a", "2")]
