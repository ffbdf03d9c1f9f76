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
    request = json.dumps(body).encode()
    urllib.request.urlopen(f"{server.url}/v3/auth/{path}", request, timeout=10).close()  # noqa: S310 - loopback


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
        with pytest.raises(RequestRejected, match="permission denied"):
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
