"""One login for all connections of a store, made when it is needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from etcd_watcher.endpoints import Credentials
from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.stores.rpc import RpcError, StatusCode
from etcd_watcher.stores.v3_connection import Connection, Metadata
from etcd_watcher.stores.v3_login import LOGIN_TRIES, Login, is_old_token

HERE, THERE = "https://one:2379", "https://other:2379"


class Server:
    """Gives tokens, and counts them."""

    def __init__(self) -> None:
        self.logins = 0

    def log_in(self) -> str:
        self.logins += 1
        return f"token-{self.logins}"


def test_nobody_has_no_token() -> None:
    server = Server()
    assert Login(None).token(HERE, server.log_in, 1) is None
    assert server.logins == 0


def test_a_token_is_kept_until_it_is_forgotten() -> None:
    server, login = Server(), Login("luis")
    assert login.token(HERE, server.log_in, 1) == login.token(HERE, server.log_in, 1) == "token-1"
    login.forget("token-1")
    assert login.token(HERE, server.log_in, 1) == "token-2"


def test_a_token_that_was_replaced_meanwhile_is_not_forgotten() -> None:
    server, login = Server(), Login("luis")
    login.token(HERE, server.log_in, 1)
    login.forget("token-1")
    login.token(HERE, server.log_in, 1)
    login.forget("token-1")  # by another, who was refused with the first
    assert login.token(HERE, server.log_in, 1) == "token-2"


def test_many_who_wait_need_one_login() -> None:
    server, login = Server(), Login("luis")
    go = threading.Event()
    got: list[str | None] = []

    def log_in() -> str:
        go.wait(10)
        return server.log_in()

    threads = [
        threading.Thread(target=lambda: got.append(login.token(HERE, log_in, 10))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert got == ["token-1"] * 5


@pytest.fixture
def silent() -> Iterator[Login]:
    """Give the login of one who is just trying to log in at a server that does not answer."""
    login, entered, go = Login("luis"), threading.Event(), threading.Event()

    def log_in() -> str:
        entered.set()
        go.wait(10)
        return "late"

    thread = threading.Thread(target=lambda: login.token(HERE, log_in, 10))
    thread.start()
    entered.wait(10)
    yield login
    go.set()
    thread.join()


def test_who_waits_too_long_for_anothers_login_is_told(silent: Login) -> None:
    with pytest.raises(TimeoutError, match="no answer to the login"):
        silent.token(HERE, lambda: "another", 0.01)


def test_a_server_that_is_silent_keeps_nobody_from_a_login_at_another(silent: Login) -> None:
    server = Server()
    assert silent.token(THERE, server.log_in, 1) == "token-1"
    assert silent.token(HERE, server.log_in, 1) == "token-1"  # nobody waits there any more
    assert server.logins == 1


def test_a_login_that_is_not_done_yet_keeps_nobody_from_forgetting_the_last(silent: Login) -> None:
    forgets = threading.Thread(target=lambda: silent.forget("old"), daemon=True)
    forgets.start()
    forgets.join(5)
    assert not forgets.is_alive()


@pytest.mark.parametrize(
    ("told", "is_old"),
    [
        ("etcdserver: invalid auth token", True),
        ("etcdserver: revision of auth store is old", True),
        ("auth: revision in header is old", True),
        ("etcdserver: permission denied", False),
        ("etcdserver: authentication failed, invalid user ID or password", False),
    ],
)
def test_what_servers_say_of_an_old_token_is_known(told: str, *, is_old: bool) -> None:
    assert is_old_token(told) is is_old


class SlowWay:
    """Stands for a server to which the way takes longer than most logins last."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.tokens: list[str] = []

    def log_in(self, _: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(token=f"token-{len(self.tokens)}")

    def put(self, _: object, *, timeout: float, metadata: Metadata) -> str:
        self.tokens.append(dict(metadata)["token"])
        if len(self.tokens) <= self.refusals:
            raise RpcError(StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")
        return "done"


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection("http://127.0.0.1:1", Credentials("luis", "secret"))
    yield made
    made.close()


def test_a_login_that_is_over_before_it_is_used_is_made_again_as_long_as_there_is_time(
    connection: Connection,
) -> None:
    way = SlowWay(refusals=2 * LOGIN_TRIES)
    connection.calls |= {"authenticate": way.log_in, "put": way.put}
    assert connection.call("put", None, 20) == "done"
    assert len(set(way.tokens)) == len(way.tokens) == way.refusals + 1


def test_where_no_login_lasts_it_is_a_failure_of_the_connection_which_is_tried_again(
    connection: Connection,
) -> None:
    way = SlowWay(refusals=1_000_000)
    connection.calls |= {"authenticate": way.log_in, "put": way.put}
    with pytest.raises(ConnectionFailed, match="the login was over before it could be used"):
        connection.call("put", None, 0.2)
