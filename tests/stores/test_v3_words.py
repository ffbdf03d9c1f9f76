"""What gRPC says of a connection is told in plain words."""

from __future__ import annotations

import pytest

from etcd_watcher import ConnectionFailed, LocalEtcd
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_words import never_left, plain

TO_ALL = "failed to connect to all addresses; last error: "


@pytest.mark.parametrize(
    ("details", "told"),
    [
        (
            TO_ALL + "UNKNOWN: ipv4:127.0.0.1:2379: Failed to connect to remote host: "
            "Connection refused",
            "connection refused",
        ),
        (
            TO_ALL + "UNAVAILABLE: ipv4:127.0.0.1:2379: connection attempt timed out before "
            "receiving SETTINGS frame",
            "no answer to connecting",
        ),
        (
            "DNS resolution failed for etcd.invalid:2379: C-ares status is not ARES_SUCCESS",
            "the host's name is not known",
        ),
        ("ping timeout", "no answer to a sign of life"),
        ("keepalive watchdog timeout", "no answer to a sign of life"),
        ("Socket closed", "the connection was closed"),
        ("recvmsg:Connection reset by peer", "the connection was reset"),
        ("sendmsg: Broken pipe (32)", "the connection was reset"),
        (
            "GOAWAY received; Error code: 11; Debug Text: too_many_pings",
            "the server is closing the connection",
        ),
        ("etcdserver: request timed out", "request timed out"),
        ("etcdserver: no leader", "no leader"),
        (TO_ALL + "UNKNOWN: ipv6:%5B::1%5D:2379: something new", "something new"),
        ("something else", "something else"),
        ("", "it is not there"),
    ],
)
def test_its_words_become_plain(details: str, told: str) -> None:
    assert plain(details) == told


@pytest.mark.parametrize(
    ("details", "nothing"),
    [
        (TO_ALL + "UNKNOWN: ipv4:127.0.0.1:2379: Connection refused", True),
        ("DNS resolution failed for etcd.invalid:2379: no", True),
        ("etcdserver: no leader", True),
        ("etcdserver: rpc not supported for learner", True),
        ("etcdserver: not capable", True),
        ("etcdserver: request timed out", False),
        ("etcdserver: leader changed", False),
        ("Socket closed", False),
    ],
)
def test_whether_anything_can_have_come_of_a_request(details: str, nothing: bool) -> None:  # noqa: FBT001
    assert never_left(details) is nothing


def test_a_write_to_nobody_was_not_made_and_one_without_an_answer_may_have_been() -> None:
    with LocalEtcd() as etcd:
        store = V3Store([etcd.url])
        store.connect(5)
        etcd.pause()
        with pytest.raises(ConnectionFailed, match="'nokia' was to be written: it may have") as it:
            store.put(b"nokia", b"hello", None, 0.2)
        assert it.value.reason == "no answer in time"
        etcd.resume()
    reason = "closed"
    while reason != "connection refused":  # until gRPC, too, knows that it is gone
        with pytest.raises(ConnectionFailed) as caught:
            store.put(b"nokia", b"hello", None, 5)
        reason = caught.value.reason
        assert ("it may have done so" in str(caught.value)) is (reason != "connection refused")
    store.close()
