"""One login for all connections of a store, made when it is needed."""

from __future__ import annotations

import threading

import pytest

from etcd_watcher.errors import ConnectionFailed
from etcd_watcher.stores.v3_login import Login, is_old_token


class Server:
    """Gives tokens, and counts them."""

    def __init__(self) -> None:
        self.logins = 0

    def log_in(self) -> str:
        self.logins += 1
        return f"token-{self.logins}"


def test_nobody_has_no_token() -> None:
    server = Server()
    assert Login(None).token(server.log_in, 1) is None
    assert server.logins == 0


def test_a_token_is_kept_until_it_is_forgotten() -> None:
    server, login = Server(), Login("luis")
    assert login.token(server.log_in, 1) == login.token(server.log_in, 1) == "token-1"
    login.forget("token-1")
    assert login.token(server.log_in, 1) == "token-2"


def test_a_token_that_was_replaced_meanwhile_is_not_forgotten() -> None:
    server, login = Server(), Login("luis")
    login.token(server.log_in, 1)
    login.forget("token-1")
    login.token(server.log_in, 1)
    login.forget("token-1")  # by another, who was refused with the first
    assert login.token(server.log_in, 1) == "token-2"


def test_many_who_wait_need_one_login() -> None:
    server, login = Server(), Login("luis")
    go = threading.Event()
    got: list[str | None] = []

    def log_in() -> str:
        go.wait(10)
        return server.log_in()

    threads = [
        threading.Thread(target=lambda: got.append(login.token(log_in, 10))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert got == ["token-1"] * 5


def test_who_waits_too_long_for_anothers_login_is_told() -> None:
    login, entered, go = Login("luis"), threading.Event(), threading.Event()

    def log_in() -> str:
        entered.set()
        go.wait(10)
        return "token"

    thread = threading.Thread(target=lambda: login.token(log_in, 10))
    thread.start()
    entered.wait(10)
    with pytest.raises(ConnectionFailed, match="no answer to the login"):
        login.token(log_in, 0.01)
    go.set()
    thread.join()


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
