"""put, get and delete of `LocalEtcd`, on both of etcd's APIs."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Callable

import pytest

from etcd_watcher.errors import ApiNotServed, ConnectionFailed, RequestRejected
from etcd_watcher.local import LocalEtcd

ODD_NAMES = ["x#y", "q?r", "a%2Fb", "100%", "two words", "a+b", "a=b&c;d", "né/東京/🎈", 'q"\\']


@pytest.fixture(params=["v2", "v3"])
def api(request: pytest.FixtureRequest) -> str:
    name = request.param
    assert isinstance(name, str)
    return name


def keys_on_server(etcd: LocalEtcd, api: str, prefix: str) -> set[str]:
    """Ask the server itself, in a way that does not put the key into a URL."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    if api == "v2":
        with opener.open(f"{etcd.url}/v2/keys/{prefix}?recursive=true") as response:
            nodes = [json.load(response)["node"]]
        keys = set()
        while nodes:
            node = nodes.pop()
            nodes += node.get("nodes", [])
            keys |= set() if node.get("dir") else {node["key"].removeprefix("/")}
        return keys
    first, end = prefix.encode(), prefix.encode() + b"\xff"
    ask = {"key": base64.b64encode(first).decode(), "range_end": base64.b64encode(end).decode()}
    with opener.open(f"{etcd.url}/v3/kv/range", json.dumps(ask).encode()) as response:
        return {base64.b64decode(kv["key"]).decode() for kv in json.load(response)["kvs"]}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_key_is_written_as_what_it_is(
    any_etcd: LocalEtcd, api: str, fresh_key: str, name: str
) -> None:
    key = f"{fresh_key}/{name}"
    any_etcd.put(key, "here", api=api)
    assert keys_on_server(any_etcd, api, fresh_key) == {key}
    assert any_etcd.get(key, api=api) == "here"
    assert any_etcd.delete(key, api=api) == 1
    assert any_etcd.get(key, api=api) is None


@pytest.mark.parametrize("value", ["", "a&value=b", "Straße 東京\n\0\t", " + % # ", "x" * 100_000])
def test_a_value_comes_back_as_it_was(
    any_etcd: LocalEtcd, api: str, fresh_key: str, value: str
) -> None:
    any_etcd.put(fresh_key, value, api=api)
    assert any_etcd.get(fresh_key, api=api) == value
    any_etcd.put(fresh_key.encode(), value.encode(), api=api)
    assert any_etcd.get(fresh_key.encode(), api=api) == value


def test_v3_takes_any_bytes(any_etcd: LocalEtcd, fresh_key: str) -> None:
    key = fresh_key.encode() + bytes(range(256))
    any_etcd.put(key, bytes(range(256)))
    value = any_etcd.get(key)
    assert value is not None
    assert value.encode("utf-8", "surrogateescape") == bytes(range(256))


def test_deleting_says_how_many_there_were(any_etcd: LocalEtcd, api: str, fresh_key: str) -> None:
    assert any_etcd.delete(fresh_key, api=api) == 0
    any_etcd.put(fresh_key, "x", api=api)
    assert any_etcd.delete(fresh_key, api=api) == 1
    assert any_etcd.delete(fresh_key, api=api) == 0


def test_on_v2_a_leading_slash_makes_no_difference(etcd: LocalEtcd, fresh_key: str) -> None:
    etcd.put(fresh_key, "one", api="v2")
    assert etcd.get(f"/{fresh_key}", api="v2") == "one"
    etcd.put(fresh_key, "one")
    assert etcd.get(f"/{fresh_key}") is None


def test_on_v2_a_directory_has_no_value(etcd: LocalEtcd, fresh_key: str) -> None:
    etcd.put(f"{fresh_key}/leaf", "x", api="v2")
    assert etcd.get(fresh_key, api="v2") is None
    with pytest.raises(RequestRejected, match="Not a file"):
        etcd.delete(fresh_key, api="v2")


@pytest.mark.parametrize("key", ["a//b", "//a", "a/", "a/../b", "./a", "/"])
def test_v2_refuses_a_key_that_it_would_take_for_another(etcd: LocalEtcd, key: str) -> None:
    with pytest.raises(ValueError, match="v2 has no key"):
        etcd.put(key, "x", api="v2")
    with pytest.raises(ValueError, match="v2 has no key"):
        etcd.get(key, api="v2")


@pytest.mark.parametrize("key", ["", b""])
def test_an_empty_key_is_refused(etcd: LocalEtcd, api: str, key: str | bytes) -> None:
    with pytest.raises(ValueError, match="the key is empty"):
        etcd.get(key, api=api)


def test_what_is_neither_text_nor_bytes_is_refused(etcd: LocalEtcd, api: str) -> None:
    with pytest.raises(TypeError, match="str or bytes, not int: 5"):
        etcd.put("nokia", 5, api=api)  # type: ignore[arg-type]


def test_an_unknown_api_is_refused(etcd: LocalEtcd) -> None:
    with pytest.raises(ValueError, match="'v4'"):
        etcd.get("nokia", api="v4")


def test_what_the_server_refuses_is_told_in_its_words(any_etcd: LocalEtcd, fresh_key: str) -> None:
    with pytest.raises(RequestRejected, match="request is too large"):
        any_etcd.put(fresh_key, "x" * 2_000_000)


def test_without_v2_the_error_says_how_to_have_it(any_version: str) -> None:
    with LocalEtcd(version=any_version, v2=False) as etcd:
        assert not etcd.v2
        etcd.put("nokia", "hello")
        with pytest.raises(ApiNotServed, match="v2=False"):
            etcd.put("nokia", "hello", api="v2")


def test_a_proxy_in_the_environment_is_left_alone(
    any_version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with LocalEtcd(version=any_version) as etcd:
        etcd.put("nokia", "hello")
        assert etcd.get("nokia") == "hello"


@pytest.mark.parametrize("end", [LocalEtcd.stop, LocalEtcd.kill])
def test_a_stopped_server_says_so_and_what_to_do(end: Callable[[LocalEtcd], None]) -> None:
    with LocalEtcd() as etcd:
        end(etcd)
        for use in (lambda: etcd.put("a", "b"), lambda: etcd.get("a"), lambda: etcd.delete("a")):
            with pytest.raises(ConnectionFailed, match=r"is stopped: start\(\) it again"):
                use()


def test_a_paused_server_says_so_and_what_to_do() -> None:
    with LocalEtcd() as etcd:
        etcd.pause()
        with pytest.raises(ConnectionFailed, match=r"is paused.*resume\(\) it"):
            etcd.put("a", "b")
        etcd.resume()
        etcd.put("a", "b")
        assert etcd.get("a") == "b"
