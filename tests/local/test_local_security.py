"""`LocalEtcd` and `LocalCluster` over TLS, and with users."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etcd_watcher import Watcher
from etcd_watcher.errors import EtcdWatcherError, RequestRejected
from etcd_watcher.local import Certificates, LocalCluster, LocalEtcd
from tests.conftest import present

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(scope="module", params=["3.4", "3.5"])
def guarded(request: pytest.FixtureRequest) -> Iterator[LocalEtcd]:
    """A server with a user who may do everything, and Juan, who may read news and write notes."""
    with LocalEtcd(version=present(request.param), user="luis", password="s3cret") as etcd:
        etcd.users.add("juan", "pa:ss", read=["news/", "notes/"], write=["notes/"])
        yield etcd


@pytest.mark.parametrize("client_cert", [False, True])
def test_a_watcher_takes_the_certificates_from_the_server(
    any_version: str,
    client_cert: bool,  # noqa: FBT001 - parametrized
) -> None:
    with LocalEtcd(version=any_version, tls=True, client_cert=client_cert) as etcd:
        assert etcd.url.startswith("https://127.0.0.1:")
        for api in ("v2", "v3"):
            etcd.put("nokia", "hello", api=api)
            with Watcher(etcd, api=api) as watcher:
                assert watcher.get("nokia") == "hello"
                watcher.add_key("nokia")
                etcd.put("nokia", "again", api=api)
                assert watcher.wait_for("nokia").value == "again"


def test_paths_are_for_everybody_else(any_version: str) -> None:
    with LocalEtcd(version=any_version, tls=True, client_cert=True) as etcd:
        with Watcher(
            etcd.url, api="v3", ca_cert=etcd.ca_cert, cert=etcd.cert, key=etcd.key
        ) as watcher:
            watcher.put("nokia", "hello")
        assert etcd.get("nokia") == "hello"


def test_the_files_are_nobody_elses_and_go_with_the_server(any_version: str) -> None:
    with LocalEtcd(version=any_version, tls=True, user="luis", token_ttl=5) as etcd:
        assert etcd.ca_cert is not None
        directory = Path(etcd.ca_cert).parent
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        files = [each for each in directory.iterdir() if each.suffix in {".pem", ".key", ".pub"}]
        assert len(files) == 9
        assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    assert not directory.exists()


def test_a_server_that_is_started_again_has_the_same_certificates_and_users(
    any_version: str,
) -> None:
    with LocalEtcd(version=any_version, tls=True, user="luis", token_ttl=5) as etcd:
        assert etcd.ca_cert is not None
        authority, password = Path(etcd.ca_cert).read_bytes(), etcd.password
        etcd.put("nokia", "hello")
        etcd.restart()
        assert etcd.get("nokia") == "hello"
        etcd.stop()
        etcd.start()
        assert Path(etcd.ca_cert).read_bytes() == authority
        assert etcd.password == password
        assert etcd.get("nokia") is None
        with Watcher(etcd, api="v3") as watcher:
            watcher.put("nokia", "hello")


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_nobody_gets_in_without_a_user(guarded: LocalEtcd, api: str) -> None:
    assert (guarded.user, guarded.password) == ("luis", "s3cret")
    with Watcher(guarded, api=api) as watcher:
        watcher.put("anything", "at all")
    with Watcher(guarded.url, api=api) as watcher, pytest.raises(RequestRejected):
        watcher.put("anything", "at all")


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_a_user_may_do_what_was_said_and_no_more(guarded: LocalEtcd, api: str) -> None:
    with Watcher(guarded, api=api, user="juan", password="pa:ss") as juan:
        guarded.put("news/1", "hello", api=api)
        assert juan.get("news/1") == "hello"
        juan.put("notes/1", "mine")
        for use in (
            lambda: juan.put("news/1", "x"),
            lambda: juan.get("other"),
            lambda: juan.delete("news/1"),
        ):
            with pytest.raises(RequestRejected, match="permission"):
                use()


@pytest.mark.parametrize("api", ["v2", "v3"])
def test_what_a_user_may_do_can_be_changed(guarded: LocalEtcd, api: str) -> None:
    users, name = guarded.users, f"antonio-{api}"
    users.add(name, "first", read=["notes/"])
    users.grant(name, "one", write=True)
    users.revoke(name, "notes/", prefix=True)
    users.change_password(name, "another")
    with Watcher(guarded, api=api, user=name, password="another") as antonio:
        antonio.put("one", "hello")
        assert antonio.get("one") == "hello"
        for key in ("notes/1", "one/more", "on"):
            with pytest.raises(RequestRejected, match="permission"):
                antonio.get(key)
    users.remove(name)
    with pytest.raises(RequestRejected):
        Watcher(guarded, api=api, user=name, password="another").get("one")
    users.add(name, "once more", read=[""])
    with Watcher(guarded, api=api, user=name, password="once more") as antonio:
        assert antonio.get("one") == "hello"


def test_users_that_cannot_be_are_refused(guarded: LocalEtcd) -> None:
    with pytest.raises(RequestRejected, match="already exists"):
        guarded.users.add("juan", "again")
    with pytest.raises(RequestRejected, match="not found"):
        guarded.users.remove("nobody")
    with pytest.raises(TypeError, match=r"several prefixes: \['news/'\]"):
        guarded.users.add("nobody", "x", read="news/")
    with pytest.raises(ValueError, match=r"use revoke\(\)"):
        guarded.users.grant("juan", "x", read=False)


def test_a_password_is_made_up_and_shown_nowhere() -> None:
    with LocalEtcd(user="luis", tls=True, token_ttl=1) as etcd, LocalEtcd(user="root") as another:
        assert etcd.password
        assert etcd.password != another.password
        shown = [repr(etcd), repr(etcd._security), repr(etcd._single.gateway()), repr(etcd.users)]
        arguments = Path(f"/proc/{etcd.pid}/cmdline")
        if arguments.exists():
            shown.append(arguments.read_text())
        for text in shown:
            assert etcd.password not in text
        with pytest.raises(RequestRejected) as refused:
            etcd._single.gateway().ask("auth/user/add", name="luis", password=etcd.password)
        assert etcd.password not in str(refused.value)


def test_a_clients_certificate_is_a_login(any_version: str) -> None:
    with (
        LocalEtcd(version=any_version, tls=True, client_cert=True, user="luis") as etcd,
        Watcher(etcd.url, api="v3", ca_cert=etcd.ca_cert, cert=etcd.cert, key=etcd.key) as watcher,
    ):
        watcher.put("nokia", "hello")
        assert etcd.get("nokia") == "hello"


def test_a_login_ends_when_it_was_said_to(any_version: str) -> None:
    with LocalEtcd(version=any_version, user="luis", token_ttl=1) as etcd:
        etcd.put("nokia", "hello")
        login = etcd._single.gateway().login
        assert login is not None
        token, came = login.token, time.monotonic()
        while login.token == token:
            assert etcd.get("nokia") == "hello"
            assert time.monotonic() < came + 20


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"client_cert": True}, "client_cert=True needs TLS: give tls=True"),
        ({"password": "x"}, "a password without a user"),
        ({"token_ttl": 1}, "token_ttl= without a user"),
        ({"user": "luis", "token_ttl": 0.5}, "from 1 second up, not 0.5"),
        ({"user": "luis", "token_ttl": float("nan")}, "from 1 second up"),
    ],
)
def test_what_does_not_go_together_is_told(arguments: dict[str, object], complaint: str) -> None:
    for kind in (LocalEtcd, LocalCluster):
        with pytest.raises(ValueError, match=complaint):
            kind(**arguments)  # type: ignore[arg-type]  # as a person may


def test_a_server_without_users_has_none_to_add() -> None:
    with LocalEtcd() as etcd:
        assert (etcd.ca_cert, etcd.cert, etcd.key, etcd.user, etcd.password) == (None,) * 5
        with pytest.raises(EtcdWatcherError, match="lets everybody in"):
            _ = etcd.users


def test_a_cluster_has_users_and_tls_too(any_version: str) -> None:
    with LocalCluster(
        version=any_version, tls=True, client_cert=True, user="luis", token_ttl=2
    ) as cluster:
        cluster.users.add("juan", "secret", read=["news/"])
        with Watcher(cluster, api="v3", user="juan", password="secret") as juan:
            assert all(url.startswith("https://") for url in juan.endpoints)
            juan.add_key("news/1")
            cluster.put("news/1", "hello")
            assert juan.wait_for("news/1").value == "hello"
            cluster.faults.replace(cluster.leader)
            cluster.put("news/1", "again")
            assert juan.wait_for("news/1").value == "again"


def test_without_trustme_the_error_says_where_it_is() -> None:
    code = (
        "import sys; sys.modules['trustme'] = None\n"
        "from etcd_watcher.local import LocalEtcd\n"
        "LocalEtcd().stop()\n"
        "LocalEtcd(tls=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert "pip install etcd-watcher[local]" in done.stderr


def test_certificates_show_nothing_of_themselves(tmp_path: Path) -> None:
    made = Certificates(user="luis")
    made.write(tmp_path)
    assert repr(made) == "Certificates()"
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        *("ca.pem", "client.key", "client.pem", "own.key", "own.pem", "server.key", "server.pem")
    ]


@pytest.mark.parametrize(("name", "password"), [("ana", ""), ("", "secret"), ("ana", None)])
def test_a_user_who_could_not_log_in_is_not_half_made(
    guarded: LocalEtcd, name: str, password: Any
) -> None:
    with pytest.raises((ValueError, TypeError), match=r"a user's (name|password) is"):
        guarded.users.add(name, password)
    guarded.users.add("ana", "secret", read=["news/"])  # as if nothing had been asked
    with pytest.raises((ValueError, TypeError), match=r"a user's (name|password) is"):
        guarded.users.change_password(name, password)
    guarded.users.remove("ana")


def test_rights_for_a_user_who_is_not_there(guarded: LocalEtcd) -> None:
    with pytest.raises(RequestRejected, match=r"no user 'ghost'.*add"):
        guarded.users.grant("ghost", "news/")
    assert repr(guarded.users) == f"Users(of 127.0.0.1:{guarded.url.rpartition(':')[2]})"


def test_a_wrong_password_names_the_user(guarded: LocalEtcd) -> None:
    with pytest.raises(RequestRejected, match=r"check user= and password= \(user='luis'\)"):
        Watcher(guarded, api="v3", user="luis", password="no")
