"""What a person is told, at once, when certificates, users and addresses do not fit."""

from __future__ import annotations

import itertools
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from etcd_watcher import ConnectionFailed, LocalEtcd, RequestRejected, Watcher
from etcd_watcher.local import Certificates
from tests.clock import sooner_than
from tests.scripted import scripted
from tests.watcher.conftest import News

Told = Callable[..., str]

PROXIES = ("grpc_proxy", "http_proxy", "https_proxy", "no_proxy", "no_grpc_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def guarded() -> Iterator[LocalEtcd]:
    with LocalEtcd(version="3.5", user="luis") as etcd:
        etcd.users.add("juan", "pa:ss", read=["news/"])
        yield etcd


@pytest.fixture(params=["v2", "v3"])
def api(request: pytest.FixtureRequest) -> str:
    name = request.param
    assert isinstance(name, str)
    return name


def refusal(api: str, server: LocalEtcd | str, **arguments: Any) -> str:
    """Give what a person is told who makes a watcher, within 5 s."""
    with sooner_than(5), pytest.raises(ConnectionFailed) as failed:
        Watcher(server, api=api, **arguments)
    return str(failed.value)


@pytest.fixture
def told(api: str) -> Told:
    """Give the same for each API."""
    return partial(refusal, api)


def test_a_server_that_nobody_known_vouches_for(
    secure: LocalEtcd, exclusive: LocalEtcd, told: Told
) -> None:
    for authority in (None, exclusive.ca_cert):
        said = told(secure.url, ca_cert=authority)
        assert "not to be trusted" in said
        assert "give ca_cert=" in said


def test_a_certificate_that_has_expired(told: Told) -> None:
    with LocalEtcd(version="3.5", tls=Certificates(days=-1)) as etcd:
        assert "its certificate has expired" in told(etcd)


def test_a_certificate_for_another_host(told: Told) -> None:
    with LocalEtcd(version="3.5", tls=Certificates(["other.example"])) as etcd:
        assert "not valid for '127.0.0.1'" in told(etcd)


def test_a_client_without_a_certificate_or_with_a_strange_one(
    exclusive: LocalEtcd, secure: LocalEtcd, told: Told
) -> None:
    for cert, key in ((None, None), (secure.cert, secure.key)):
        said = told(exclusive.url, ca_cert=exclusive.ca_cert, cert=cert, key=key)
        assert "give cert= and key=" in said


def test_a_clients_certificate_that_has_expired(any_version: str, told: Told) -> None:
    made = Certificates(client_days=-1)
    with LocalEtcd(version=any_version, tls=made, client_cert=True) as etcd:
        assert "give cert= and key=" in told(etcd)


def test_tls_to_a_server_without_it(any_etcd: LocalEtcd, secure: LocalEtcd, told: Told) -> None:
    url = any_etcd.url.replace("http:", "https:")
    assert "use http://" in told(url, ca_cert=secure.ca_cert)


def test_no_tls_to_a_server_with_it(secure: LocalEtcd, exclusive: LocalEtcd, told: Told) -> None:
    for server in (secure, exclusive):
        assert "use https://" in told(server.url.replace("https:", "http:"))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_that_does_not_resolve(scheme: str, told: Told) -> None:
    said = told(f"{scheme}://no-such-host.invalid:2379")
    assert "host no-such-host.invalid not found" in said


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, ThreadPoolExecutor() as pool:
        endpoint = f"127.0.0.1:{mute.getsockname()[1]}"
        both = [f"https://{endpoint}", f"http://{endpoint}"]
        for said in pool.map(refusal, ["v3", "auto"], both):  # each waits for all of its time
            assert "no answer" in said


def test_each_of_several_endpoints_with_its_own_reason(secure: LocalEtcd, told: Told) -> None:
    said = told([secure.url, "http://no-such-host.invalid:1"])
    assert f"{secure.url}: its certificate is not to be trusted" in said
    assert "http://no-such-host.invalid:1: host no-such-host.invalid not found" in said


def test_files_that_hold_nothing_usable(
    exclusive: LocalEtcd, secure: LocalEtcd, api: str, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing", encoding="ascii")
    for arguments, complaint in (
        ({"ca_cert": str(empty)}, r"ca_cert='.*empty\.pem' holds no certificate"),
        ({"cert": str(empty), "key": secure.key}, r"cert='.*empty\.pem' and its key"),
        (
            {"cert": secure.cert, "key": exclusive.key},
            f"key='{exclusive.key}' belongs to another certificate than cert='{secure.cert}'",
        ),
    ):
        with pytest.raises(ValueError, match=complaint):
            Watcher(exclusive, api=api, **arguments)


def test_a_key_with_a_password_is_refused_and_not_waited_for(
    secure: LocalEtcd, tmp_path: Path
) -> None:
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    assert secure.key is not None
    key = serialization.load_pem_private_key(Path(secure.key).read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"s3cret"),
        )
    )
    with pytest.raises(ValueError, match="without a password"):
        Watcher(secure, cert=secure.cert, key=str(locked))


def test_a_wrong_password_and_an_unknown_user(guarded: LocalEtcd) -> None:
    for user in ("luis", "nobody"):
        with pytest.raises(RequestRejected, match="check user= and password=") as refused:
            Watcher(guarded, api="v3", user=user, password="hunter2")
        assert "hunter2" not in str(refused.value)
        with (
            Watcher(guarded, api="v2", user=user, password="hunter2") as watcher,
            pytest.raises(RequestRejected, match="Check the user, the password") as refused,
        ):
            watcher.add_key("news/1")
        assert "hunter2" not in str(refused.value)


def test_no_user_where_there_are_some(guarded: LocalEtcd) -> None:
    with (
        Watcher(guarded.url, api="v3") as watcher,
        pytest.raises(RequestRejected, match="give user= and password="),
    ):
        watcher.add_key("news/1")


def test_a_user_where_there_are_none(etcd: LocalEtcd) -> None:
    with pytest.raises(RequestRejected, match="leave out user= and password="):
        Watcher(etcd, api="v3", user="luis", password="secret")


def test_a_key_that_a_user_may_not_read_is_refused_and_the_others_go_on(
    guarded: LocalEtcd, news: News
) -> None:
    # tests/stores/test_v2_security.py has the same for v2, which takes its time for each request.
    with Watcher(guarded, api="v3", user="juan", password="pa:ss") as juan:
        juan.register("news/1", news, "tell")
        for key in ("other", "news", "nokia"):
            with pytest.raises(RequestRejected, match="permission"):
                juan.register(key, news, "tell")
        with pytest.raises(RequestRejected, match="permission"):
            juan.register(["news/2", "other"], news, "tell")
        assert juan.keys == ["news/1"]
        guarded.put("news/1", "hello")
        juan.sync()
        assert news.told == [("news/1", "hello")]
        assert juan.status.state == "connected"


# Proxies.


def refuse(wire: socket.socket) -> None:
    with suppress(OSError):
        wire.recv(65536)
        wire.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def proxy() -> Iterator[str]:
    """One that refuses everything, at a URL with a password."""
    with scripted(itertools.repeat(refuse)) as port:
        yield f"http://me:hunter2@127.0.0.1:{port}"


def test_a_proxy_is_not_asked_for_this_machine(
    any_etcd: LocalEtcd, proxy: str, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    with Watcher(any_etcd, api=api) as watcher:
        watcher.add_key("nokia")
    with Watcher(any_etcd.url.replace("127.0.0.1", "localhost"), api=api) as watcher:
        watcher.add_key("nokia")


@pytest.mark.parametrize("api", ["auto", "v3"], indirect=True)
@pytest.mark.parametrize("name", ["grpc_proxy", "https_proxy", "http_proxy"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_in_the_way_is_named_without_its_password(
    proxy: str, name: str, scheme: str, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, proxy)
    said = told(f"{scheme}://etcd.invalid:2379")
    assert f"through the proxy http://{proxy.rpartition('@')[2]}, which the variable {name}" in said
    assert "have etcd.invalid in NO_PROXY" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_no_proxy_is_asked_where_none_is_wanted(
    proxy: str, name: str, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv(name, "etcd.invalid")
    said = told("http://etcd.invalid:2379")
    assert "host etcd.invalid not found" in said
    assert "proxy" not in said


def test_grpc_writes_nothing_to_stderr(secure: LocalEtcd) -> None:
    code = (
        "from etcd_watcher import ConnectionFailed, Watcher\n"
        f"try: Watcher({secure.url!r}, api='v3')\n"
        "except ConnectionFailed: print('told')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("told\n", "")


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_etcdctls_variables_are_taken(
    api: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with LocalEtcd(version="3.5", tls=True, client_cert=True, user="luis", password="p:w") as etcd:
        assert etcd.ca_cert is not None
        assert etcd.cert is not None
        assert etcd.key is not None
        monkeypatch.setenv("ETCDCTL_ENDPOINTS", etcd.url)
        monkeypatch.setenv("ETCDCTL_CACERT", etcd.ca_cert)
        monkeypatch.setenv("ETCDCTL_CERT", etcd.cert)
        monkeypatch.setenv("ETCDCTL_KEY", etcd.key)
        monkeypatch.setenv("ETCDCTL_USER", "luis:p:w")
        with Watcher(api=api) as watcher:
            watcher.put("nokia", "hello")
            assert watcher.get("nokia") == "hello"
        monkeypatch.setenv("ETCDCTL_USER", "luis")
        monkeypatch.setenv("ETCDCTL_PASSWORD", "p:w")
        with Watcher(api=api) as watcher:
            assert watcher.get("nokia") == "hello"
    assert "p:w" not in caplog.text
