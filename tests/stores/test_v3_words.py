"""What etcd says of a request is told in plain words."""

from __future__ import annotations

import pytest

from etcd_watcher import ConnectionFailed, LocalEtcd
from etcd_watcher.stores.v3 import V3Store
from etcd_watcher.stores.v3_words import did_nothing, plain


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ("etcdserver: request timed out", "request timed out"),
        ("etcdserver: no leader", "no leader"),
        ("raft: stopped", "the server is stopping"),
        ("raft proposal dropped", "its leader is handing over"),
        ("connection refused", "connection refused"),
        ("", "it does not say why"),
    ],
)
def test_its_words_become_plain(details: str, told: str) -> None:
    assert plain(details) == told


@pytest.mark.parametrize(
    ("details", "nothing"),
    [
        ("etcdserver: no leader", True),
        ("etcdserver: rpc not supported for learner", True),
        ("etcdserver: not capable", True),
        ("etcdserver: request timed out", False),
        ("etcdserver: leader changed", False),
        ("Socket closed", False),
    ],
)
def test_whether_anything_can_have_come_of_a_request(details: str, nothing: bool) -> None:  # noqa: FBT001
    assert did_nothing(details) is nothing


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
    while reason != "connection refused":  # until it is gone
        with pytest.raises(ConnectionFailed) as caught:
            store.put(b"nokia", b"hello", None, 5)
        reason = caught.value.reason
        assert ("it may have done so" in str(caught.value)) is (reason != "connection refused")
    store.close()
