"""Errors that were written for Python, as the command says them."""

from __future__ import annotations

import pytest

from etcd_watcher import BadRecording, Compacted, ConnectionFailed
from etcd_watcher.cli.words import for_a_shell
from etcd_watcher.endpoints import Credentials
from etcd_watcher.stores.open import NO_V2


def complaint(**given: str) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - which one is what is looked at
        Credentials(**given).check()
    return for_a_shell(str(caught.value))


def test_arguments_are_options() -> None:
    assert "give --user too (or ETCDCTL_USER)" in complaint(password="secret")
    assert "give --password too" in complaint(user="ana")
    assert "needs both --cert and --key, paths" in complaint(cert="me.pem")
    assert complaint(ca_cert="/no.pem").startswith("--cacert '/no.pem' is no file")
    assert complaint(cert="/no.pem", key="/no").startswith("--cert '/no.pem' is no file")


def test_where_no_server_is_a_shell_can_name_another() -> None:
    said = for_a_shell(str(ConnectionFailed.to(["http://one:1"], "Connection refused")))
    assert said.endswith("Start one, or name another with --endpoints")


def test_history_that_is_gone_is_asked_for_from_where_it_is_whole() -> None:
    said = for_a_shell(str(Compacted(7, 8)))
    assert said.endswith(": begin with --since 8, or watch from now on")


def test_an_api_is_chosen_by_an_option() -> None:
    said = for_a_shell(NO_V2.format(endpoint="http://one:1"))
    assert said.endswith("use --api v3")
    assert "LocalEtcd" not in said


def test_what_is_no_argument_stays() -> None:
    for said in ("monkey=1", 'a "key=" of etcd', str(BadRecording("x.jsonl", 3, "user=ana"))):
        assert for_a_shell(said) == said
