"""etcd v2 with TLS, and with users who may not do everything."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from etcd_watcher import Watcher
from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import ConnectionFailed, RequestRejected
from etcd_watcher.local import Certificates, LocalEtcd
from etcd_watcher.stores.v2 import V2Store
from etcd_watcher.stores.v2_served import serves_v2
from tests.clock import sooner_than
from tests.stores.v2_follower import TIMEOUT, Follower, put


@pytest.fixture
def secured(any_version: str) -> Iterator[LocalEtcd]:
    """A server that speaks TLS only, and wants a certificate of its clients."""
    hosts = ["127.0.0.1"]
    with LocalEtcd(version=any_version, tls=Certificates(hosts=hosts), client_cert=True) as etcd:
        yield etcd


def credentials_of(etcd: LocalEtcd) -> Credentials:
    return Credentials(ca_cert=etcd.ca_cert, cert=etcd.cert, key=etcd.key)


def test_everything_works_over_tls(secured: LocalEtcd) -> None:
    assert serves_v2(secured.url, TIMEOUT, credentials_of(secured))
    with closing(V2Store([secured.url], credentials=credentials_of(secured))) as store:
        begin = store.revision(TIMEOUT)
        revisions = [put(store, f"a/{number}", "x" * 10_000) for number in range(100)]
        with Follower(store, b"a", prefix=True, after=begin) as follower:
            follower.sync()
            assert [event.revision for event in follower.events] == revisions
            for number in range(50):  # far enough that the poll is half-closed
                put(store, f"b/{number}")
            follower.sync()
            put(store, "a/last")
            follower.sync()
            assert follower.events[-1].key == "/a/last"
            assert store.delete(b"a", TIMEOUT, prefix=True) == 101
            follower.sync()
            assert len(follower.events) == 202


def refusal(url: str, credentials: Credentials) -> str:
    with closing(V2Store([url], credentials=credentials)) as store:
        with sooner_than(5), pytest.raises(ConnectionFailed) as caught:
            store.revision(5)
        return str(caught.value)


def test_a_server_that_nobody_vouches_for_is_refused(secured: LocalEtcd) -> None:
    assert "not to be trusted" in refusal(secured.url, Credentials())
    with LocalEtcd(tls=True) as stranger:
        assert "give ca_cert=" in refusal(secured.url, Credentials(ca_cert=stranger.ca_cert))


def test_a_certificate_for_another_host_is_refused(secured: LocalEtcd) -> None:
    url = secured.url.replace("127.0.0.1", "localhost")
    assert "not valid for 'localhost'" in refusal(url, credentials_of(secured))


def test_a_client_without_a_certificate_is_told_so(secured: LocalEtcd) -> None:
    assert "give cert= and key=" in refusal(secured.url, Credentials(ca_cert=secured.ca_cert))


def test_tls_and_plain_do_not_mix_and_say_so(secured: LocalEtcd, any_etcd: LocalEtcd) -> None:
    assert "http://" in refusal(any_etcd.url.replace("http:", "https:"), credentials_of(secured))
    assert "https://" in refusal(secured.url.replace("https:", "http:"), Credentials())


def test_a_file_without_a_certificate_is_an_error_at_once(tmp_path: Path) -> None:
    path = tmp_path / "no.pem"
    path.write_text("nothing", encoding="ascii")
    with pytest.raises(ValueError, match=r"no\.pem"):
        V2Store(["https://127.0.0.1:1"], credentials=Credentials(ca_cert=str(path)))


# Users.

ROOT = ("root", "r00t")
LUIS = ("luís", "日本:word")


def administer(url: str, path: str, body: object, user: tuple[str, str] | None) -> None:
    connection = HTTPConnection(str(urlsplit(url).netloc), timeout=TIMEOUT)
    headers = {"Content-Type": "application/json"}
    if user is not None:
        pair = base64.b64encode(":".join(user).encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    connection.request("PUT", f"/v2/auth/{path}", json.dumps(body), headers)
    response = connection.getresponse()
    answer = response.read()
    assert response.status < 300, answer
    connection.close()


@pytest.fixture
def guarded(any_version: str) -> Iterator[LocalEtcd]:
    """A server where luís may use what is below /mine, and the key /one, and guests nothing."""

    def role(name: str, verb: str, keys: list[str]) -> dict[str, Any]:
        return {"role": name, verb: {"kv": {"read": keys, "write": keys}}}

    with LocalEtcd(version=any_version) as etcd:
        administer(etcd.url, "users/root", {"user": ROOT[0], "password": ROOT[1]}, None)
        administer(etcd.url, "enable", {}, None)
        administer(etcd.url, "roles/guest", role("guest", "revoke", ["/*"]), ROOT)
        administer(etcd.url, "roles/own", role("own", "permissions", ["/mine/*", "/one"]), ROOT)
        account = {"user": LUIS[0], "password": LUIS[1], "roles": ["own"]}
        administer(etcd.url, "users/lu%C3%ADs", account, ROOT)
        yield etcd


@pytest.mark.parametrize(("key", "prefix"), [(b"mine", True), (b"mine/x", False), (b"one", False)])
def test_a_user_watches_what_they_may_read(
    guarded: LocalEtcd,
    key: bytes,
    prefix: bool,  # noqa: FBT001
) -> None:
    with closing(V2Store([guarded.url], credentials=Credentials(*LUIS))) as store:
        store.admit([store.key_range(key, prefix=prefix)], TIMEOUT)  # now it knows where to ask
        with (
            Follower(store, key, prefix=prefix) as follower,
            closing(V2Store([guarded.url], credentials=Credentials(*ROOT))) as root,
        ):
            written = f"{key.decode()}/x" if prefix else key.decode()
            put(store, written, "1")
            for number in range(3):
                put(root, f"foreign/{number}")
            follower.sync()
            assert [event.key for event in follower.events] == [f"/{written}"]


def test_a_user_is_told_what_they_may_not_do(guarded: LocalEtcd) -> None:
    with closing(V2Store([guarded.url], credentials=Credentials(*LUIS))) as store:
        with pytest.raises(RequestRejected, match="no permission for '/other'"):
            put(store, "other")
        watch = store.watch(store.key_range(b"other", prefix=True), 0)
        with pytest.raises(RequestRejected, match="no permission for '/other'"):
            watch.read()


@pytest.mark.parametrize("user", [(LUIS[0], "wr0ng-word"), ("nobody", "wr0ng-word"), None])
def test_whoever_is_not_known_is_refused_without_their_password_being_told(
    guarded: LocalEtcd, user: tuple[str, str] | None
) -> None:
    credentials = Credentials() if user is None else Credentials(*user)
    assert serves_v2(guarded.url, TIMEOUT, credentials)
    with closing(V2Store([guarded.url], credentials=credentials)) as store:
        with pytest.raises(RequestRejected) as caught:
            store.get(b"mine/x", TIMEOUT)
        assert "password" in str(caught.value)
        assert "wr0ng" not in str(caught.value)


def test_a_key_outside_of_the_role_is_named_and_not_what_holds_all_keys(
    guarded: LocalEtcd,
) -> None:
    name, password = LUIS
    told: list[str | None] = []
    with Watcher(guarded.url, api="v2", user=name, password=password) as watcher:
        watcher.on("mine/", prefix=True)(lambda event: told.append(event.value))
        with pytest.raises(RequestRejected, match=f"no permission for '/other' as user '{name}'"):
            watcher.add_key("other")
        with pytest.raises(RequestRejected, match=f"no permission for '/two' as user '{name}'"):
            watcher.add_key(["mine/a", "two", "other"])
        with pytest.raises(RequestRejected, match=f"no permission for '/much' as user '{name}'"):
            watcher.add_key("much/", prefix=True)
        # He may read both, and not what v2 has to be asked for to tell of both.
        with pytest.raises(RequestRejected, match=r"which is '/' here: .* read '/[*]'"):
            watcher.add_key("one")
        watcher.put("mine/x", "hello")
        watcher.sync()
        assert told == ["hello"]
        assert watcher.keys == ["mine/"]


def test_who_is_known_by_a_certificate_alone_is_named(any_version: str) -> None:
    known = Certificates(user="juan")
    with LocalEtcd(version=any_version, tls=known, client_cert=True, user="luis") as etcd:
        etcd.users.add("juan", "pa:ss", read=["news/"])
        credentials = credentials_of(etcd)
        with closing(V2Store([etcd.url], credentials=credentials)) as store:
            assert store.get(b"news/1", TIMEOUT) is None
            with pytest.raises(RequestRejected, match="no permission for '/other' as user 'juan'"):
                store.get(b"other", TIMEOUT)
