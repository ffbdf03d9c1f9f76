"""Logins that end, and rights and passwords that change, while a watch is open."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator

import pytest

from etcd_watcher import LocalEtcd, RequestRejected, Status, Watcher
from etcd_watcher.local import Certificates
from tests.watcher.conftest import News


@pytest.fixture
def guarded(any_version: str) -> Iterator[LocalEtcd]:
    with LocalEtcd(version=any_version, v2=False, user="luis", password="s3cret") as etcd:
        yield etcd


@pytest.fixture(params=["simple tokens", "tokens with a revision"])
def any_guarded(any_version: str, request: pytest.FixtureRequest) -> Iterator[LocalEtcd]:
    """One with etcd's own kind of token, and one whose tokens end with each change of rights."""
    ttl = None if request.param == "simple tokens" else 60
    with LocalEtcd(version=any_version, v2=False, user="luis", token_ttl=ttl) as etcd:
        etcd.users.add("juan", "pa:ss", read=["news/", "weather/"], write=["news/"])
        yield etcd


def losses(watcher: Watcher) -> list[Status]:
    return [each for each in watcher.journal if isinstance(each, Status)]


def test_logins_that_end_are_made_anew_and_nobody_notices(any_version: str, news: News) -> None:
    with LocalEtcd(version=any_version, v2=False, user="luis", token_ttl=1) as etcd:
        etcd.users.add("juan", "pa:ss", read=["news/"], write=["news/"])
        expected: list[tuple[str, str | None]] = []
        done = threading.Event()
        with Watcher(etcd, api="v3", user="juan", password="pa:ss") as watcher:
            watcher.register("news/0", news, "tell")
            first = {watcher._store._login._token}  # type: ignore[attr-defined]
            logins = set(first)
            number = 0
            while len(logins) < 4:
                number += 1
                watcher.register(f"news/{number}", news, "tell")
                for key in ("news/0", f"news/{number}"):
                    watcher.put(key, str(number))
                    expected.append((key, str(number)))
                if number % 20 == 0:
                    watcher.sync()
                logins.add(watcher._store._login._token)  # type: ignore[attr-defined]
            watcher.sync()
            assert news.told == expected
            assert losses(watcher) == []
            assert not done.is_set()


def test_a_change_of_rights_disturbs_nobody(any_guarded: LocalEtcd, news: News) -> None:
    with Watcher(any_guarded, api="v3", user="juan", password="pa:ss") as juan:
        juan.register("news/1", news, "tell")
        for number in range(10):
            any_guarded.users.grant("juan", f"more/{number}", write=True)
            juan.register(f"more/{number}", news, "tell")
            juan.put("news/1", str(number))
            juan.put(f"more/{number}", "hello")
        juan.sync()
        assert news.told == [
            pair
            for number in range(10)
            for pair in (("news/1", str(number)), (f"more/{number}", "hello"))
        ]
        assert losses(juan) == []


def test_of_a_transaction_the_parts_that_may_be_read_come_one_after_the_other(
    any_version: str, news: News
) -> None:
    """Each part has a watcher of the server's, and nobody tells how the transaction mixed them."""
    keys = ["weather/2", "news/2", "weather/1", "news/1"]
    mixed = [{"requestPut": {"key": coded(key), "value": coded("x")}} for key in keys]
    with LocalEtcd(version=any_version, v2=False, user="luis") as etcd:
        etcd.users.add("juan", "pa:ss", read=["news/", "weather/"])
        with Watcher(etcd, api="v3", user="juan", password="pa:ss") as juan:
            juan.register(["news/", "weather/"], news, "tell", prefix=True)
            for _ in range(20):
                etcd._single.gateway().ask("kv/txn", success=mixed)
            juan.sync()
    assert news.told == 20 * [(key, "x") for key in ("news/2", "news/1", "weather/2", "weather/1")]


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_right_that_is_gone_is_told_and_the_other_keys_go_on(
    any_guarded: LocalEtcd, news: News
) -> None:
    with Watcher(any_guarded, api="v3", user="juan", password="pa:ss") as juan:
        juan.register("weather/", news, "tell", prefix=True)
        juan.register("news/", news, "tell", prefix=True)
        any_guarded.users.revoke("juan", "weather/", prefix=True)
        with pytest.raises(RequestRejected, match="may not read 'weather/2'"):
            juan.register("weather/2", news, "tell")
        juan.put("news/1", "still")
        juan.sync()
        any_guarded.restart()  # only now is the watch opened again
        any_guarded.put("weather/1", "not for juan")
        juan.put("news/1", "after all")
        juan.sync()
        assert news.told == [("news/1", "still"), ("news/1", "after all")]
        assert any("permission denied" in (each.reason or "") for each in losses(juan))
        any_guarded.users.grant("juan", "weather/", prefix=True)
        juan.register("weather/2", news, "tell")
        any_guarded.put("weather/2", "for juan again")
        juan.sync()
        assert news.told[-1] == ("weather/2", "for juan again")


def test_a_changed_password_is_told_at_the_next_call(any_guarded: LocalEtcd, news: News) -> None:
    with Watcher(any_guarded, api="v3", user="juan", password="pa:ss") as juan:
        juan.register("news/1", news, "tell")
        any_guarded.users.change_password("juan", "another")
        with pytest.raises(RequestRejected, match="check user= and password=") as refused:
            juan.register("news/2", news, "tell")
        assert "pa:ss" not in str(refused.value)
        any_guarded.put("news/1", "hello")
        assert juan.wait_for("news/1").value == "hello"  # the open watch goes on
    with Watcher(any_guarded, api="v3", user="juan", password="another") as juan:
        juan.put("news/1", "again")


def test_a_server_that_forgot_all_tokens_gets_a_new_login(guarded: LocalEtcd, news: News) -> None:
    with Watcher(guarded, api="v3") as watcher:
        watcher.register("news/1", news, "tell")
        for number in range(3):
            guarded.restart()
            watcher.put("news/1", str(number))
            watcher.register(f"news/{number}", news, "tell")
        watcher.sync()
        assert [value for key, value in news.told if key == "news/1"][:3] == ["0", "1", "2"]


def test_a_refusal_names_who_may_not_do_what_to_which_key(guarded: LocalEtcd) -> None:
    guarded.users.add("juan", "pa:ss", read=["news/"])
    with Watcher(guarded.url, api="v3", user="juan", password="pa:ss") as juan:
        assert juan.get("news/1") is None
        attempts: list[tuple[Callable[[], object], str]] = [
            (lambda: juan.put("news/1", "x"), "user 'juan' may not write 'news/1'"),
            (lambda: juan.put("news/1", "x", ttl=5), "user 'juan' may not write 'news/1'"),
            (lambda: juan.get("other"), "user 'juan' may not read 'other'"),
            (lambda: juan.read(b"\xff"), r"user 'juan' may not read '\\udcff'"),
            (lambda: juan.delete("news/1"), "user 'juan' may not delete 'news/1'"),
            (lambda: juan.delete("n", prefix=True), "may not delete what starts with 'n'"),
            (lambda: juan.compare_and_put("a", "x", 0), "may not read and write 'a'"),
            (lambda: juan.compare_and_delete("a", 1), "may not read and write 'a'"),
            (lambda: juan.time_left("a"), "user 'juan' may not read 'a'"),
        ]
        for refused, what in attempts:
            with pytest.raises(RequestRejected, match=what) as error:
                refused()
            assert str(error.value).startswith(f"{guarded.url}: permission denied: ")


def test_who_is_known_by_a_certificate_alone_watches_what_they_may(
    any_version: str, news: News
) -> None:
    known = Certificates(user="juan")
    with LocalEtcd(version=any_version, v2=False, tls=known, client_cert=True, user="luis") as etcd:
        etcd.users.add("juan", "pa:ss", read=["news/", "weather/"], write=["news/"])
        with Watcher(
            etcd.url, api="v3", ca_cert=etcd.ca_cert, cert=etcd.cert, key=etcd.key
        ) as juan:
            juan.register(["news/", "weather/"], news, "tell", prefix=True)
            juan.put("news/1", "hello")
            etcd.put("weather/1", "fine")
            with pytest.raises(RequestRejected, match=r"user 'juan' may not read 'other'\. It may"):
                juan.register("other", news, "tell")
            with pytest.raises(RequestRejected, match="user 'juan' may not write 'weather/1'"):
                juan.put("weather/1", "rain")
            juan.sync()
            assert news.told == [("news/1", "hello"), ("weather/1", "fine")]


def test_a_certificate_of_nobody_is_no_user_where_there_are_none(
    any_version: str, news: News
) -> None:
    known = Certificates(user="juan")
    with (
        LocalEtcd(version=any_version, v2=False, tls=known, client_cert=True) as etcd,
        Watcher(etcd, api="v3") as watcher,
    ):
        watcher.register("nokia", news, "tell")
        watcher.put("nokia", "hello")
        watcher.sync()
        assert news.values == ["hello"]


def test_who_may_read_a_part_can_look_back_at_keys_that_nobody_watches(
    guarded: LocalEtcd,
) -> None:
    guarded.users.add("juan", "pa:ss", read=["news/"])
    with Watcher(guarded, api="v3", user="luis", password="s3cret") as luis:
        first = luis.put("news/x", "1")
        last = luis.put("news/x", "2")
        luis.put("weather", "rain")

    def juan() -> Watcher:
        return Watcher(guarded, api="v3", user="juan", password="pa:ss")

    with juan() as watcher:
        assert watcher.at(first, "news/x")["news/x"] == "1"
    with juan() as watcher:
        assert len(watcher.diff(first, last, "news/x")) == 1
    with juan() as watcher:
        assert watcher.history("news/x").values == ["1", "2"]
    with juan() as watcher:
        watcher.sync()
    with juan() as watcher:  # what may be read of a prefix that is wider than one's rights
        assert [*watcher.at(last, "", prefix=True)] == ["news/x"]
        for look in (
            lambda: watcher.at(last, "weather"),
            lambda: watcher.diff(first, last, "weather"),
            lambda: watcher.history("weather"),
            lambda: watcher.history("weath", prefix=True),
        ):
            with pytest.raises(RequestRejected, match=r"user 'juan' may not read .*'weath"):
                look()
