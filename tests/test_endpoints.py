"""What a person gives as an endpoint: taken, or refused with a way out and without its password."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher.endpoints import Credentials, is_loopback, parse_endpoints

# On a busy machine nothing has to be quick.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100)

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("given", "urls"),
    [
        ("http://127.0.0.1:2379", ("http://127.0.0.1:2379",)),
        ("http://127.0.0.1:2379/", ("http://127.0.0.1:2379",)),
        ("127.0.0.1:4001", ("http://127.0.0.1:4001",)),
        ("localhost", ("http://localhost:2379",)),
        ("https://etcd.example:443", ("https://etcd.example:443",)),
        ("HTTP://Etcd.Example:80", ("http://etcd.example:80",)),
        (" http://one:1 , two:2 ", ("http://one:1", "http://two:2")),
        (["http://one:1", "http://two:2"], ("http://one:1", "http://two:2")),
        (("http://one:1", "http://one:1/"), ("http://one:1",)),
        ("http://[::1]:2379", ("http://[::1]:2379",)),
        ("[fe80::1]", ("http://[fe80::1]:2379",)),
    ],
)
def test_a_usable_endpoint_becomes_a_clean_url(given: object, urls: tuple[str, ...]) -> None:
    assert parse_endpoints(given) == (urls, None, None)  # type: ignore[arg-type]  # as a person may


def test_with_tls_an_endpoint_without_a_scheme_is_https() -> None:
    assert parse_endpoints("one:1,http://two:2", tls=True)[0] == ("https://one:1", "http://two:2")


def test_a_generator_of_endpoints_is_read_once_and_whole() -> None:
    urls, _, _ = parse_endpoints(f"one:{port}" for port in (1, 2))
    assert urls == ("http://one:1", "http://one:2")


def test_a_user_in_a_url_is_taken_out_of_it() -> None:
    urls, user, password = parse_endpoints("http://ro%40ot:p%3Aw%2F@one:1,http://two:2")
    assert urls == ("http://one:1", "http://two:2")
    assert (user, password) == ("ro@ot", "p:w/")


def test_a_user_without_a_password_has_none() -> None:
    assert parse_endpoints("http://root@one:1")[1:] == ("root", None)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("", "names no host"),
        ("http://", "names no host"),
        ("http://:2379", "names no host"),
        ("one:1,,two:2", "names no host"),
        ("ftp://one:1", "has the scheme 'ftp'"),
        ("unix:///run/etcd.sock", "has the scheme 'unix'"),
        ("grpc://one:1", "has the scheme 'grpc'"),
        ("http://one:port", "has no usable port"),
        ("http://one:99999", "has no usable port"),
        ("http://one:-1", "has no usable port"),
        ("http://one:0", "has no usable port"),
        ("::1", "has no usable port"),
        ("http://[::1", "is no URL"),
        ("http://::1]:2379", "is no URL"),
        ("http://[gg]:1", "is no URL"),
        ("http://one:1/v2/keys", "has something behind its port"),
        ("http://one:1?x=y", "has something behind its port"),
        ("http://one:1#x", "has something behind its port"),
        ("http://o ne:1", "names no host"),
        ("http://one:1\n", None),
        ("http://o\nne:1", "names no host"),
    ],
)
def test_an_unusable_endpoint_is_refused_with_a_way_out(bad: str, complaint: str | None) -> None:
    if complaint is None:  # surrounding white space is forgiven
        assert parse_endpoints(bad)[0] == ("http://one:1",)
        return
    with pytest.raises(ValueError, match=complaint) as caught:
        parse_endpoints(bad)
    assert "http://HOST:PORT" in str(caught.value)


def test_no_endpoint_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no endpoint given"):
        parse_endpoints([])


@pytest.mark.parametrize("wrong", [[None], [2379], [object()]])
def test_what_is_no_text_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match="an endpoint is a URL"):
        parse_endpoints(wrong)  # type: ignore[arg-type]  # that is what is tested


def test_not_even_an_endpoint_of_a_wrong_type_is_repeated() -> None:
    with pytest.raises(TypeError) as caught:
        parse_endpoints([f"http://root:{SECRET}@one:1".encode()])  # type: ignore[list-item]
    assert SECRET not in everything_said(caught.value)


def everything_said(error: BaseException) -> str:
    """Give what a traceback shows a person, causes and contexts included, without the source."""
    shown: traceback.TracebackException | None
    shown = traceback.TracebackException.from_exception(error)
    parts = []
    while shown is not None:
        parts.append("".join(shown.format_exception_only()))
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    return "".join(parts)


@pytest.mark.parametrize(
    "typed",
    ["http://", "two words", "ftp://one:1", "one:99999", "http://one:1/v2/keys", "http://:2379"],
)
def test_an_endpoint_in_which_no_password_can_be_is_repeated(typed: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"the endpoint '{typed}'")):
        parse_endpoints(typed)


def test_an_endpoint_is_repeated_on_one_line_and_not_at_any_length() -> None:
    with pytest.raises(ValueError, match="is no URL") as caught:
        parse_endpoints("one \x1b[2J" + 1000 * "x")
    assert r"one \x1b[2Jxxx" in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "bad",
    [
        f"ftp://root:{SECRET}@one:1",
        f"http://root:{SECRET}@one:port",
        f"http://root:{SECRET}@one:99999",
        f"http://root:{SECRET}@",
        f"http://root:{SECRET}@:2379",
        f"http://root:{SECRET}@one:1/v2/keys",
        f"http://root:{SECRET}@one:1?x",
        f"http://root:{SECRET}@o ne:1",
        f"root:{SECRET}@one:1/x",
        f"http:/root:{SECRET}@one",
        f"http:///root:{SECRET}@one",
        f"://root:{SECRET}@one",
        f"http://root:{SECRET}/x@one:1",
        f"http://root:{SECRET}#x@one:1",
        f"http://root:{SECRET}?x@one:1",
        f"http://root:{SECRET}[@one:1",
        f"http://root:{SECRET}]@one:1",
        f"http://root:{SECRET}@exa\u2100mple:1",  # urlsplit itself would repeat it
        f"http://root:{SECRET}",
        f"root:{SECRET}",
    ],
)
def test_no_error_repeats_a_password(bad: str) -> None:
    with pytest.raises(ValueError, match=r"endpoint|HOST") as caught:
        parse_endpoints(bad)
    assert SECRET not in everything_said(caught.value)


@patient
@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_text_is_taken_or_refused_as_a_value_error(text: str) -> None:
    try:
        urls, _, _ = parse_endpoints(text)
    except ValueError:
        return
    again, user, password = parse_endpoints(urls)
    assert again == urls  # what is taken is clean: it comes through a second time as it is
    assert user is password is None


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:1", True),
        ("http://127.8.8.8:1", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
        ("http://10.0.0.1:1", False),
        ("http://localhost.example:1", False),
        ("http://127.example:1", False),
        ("http://0.0.0.0:1", False),
    ],
)
def test_loopback_is_known(url: str, here: bool) -> None:  # noqa: FBT001 - a parameter
    assert is_loopback(url) is here


ENVIRONMENT = {
    "ETCDCTL_USER": "root",
    "ETCDCTL_PASSWORD": SECRET,
    "ETCDCTL_CACERT": "/ca.pem",
    "ETCDCTL_CERT": "/cert.pem",
    "ETCDCTL_KEY": "/key.pem",
}


def test_what_is_not_given_comes_from_etcdctls_variables() -> None:
    known = Credentials().completed_from(ENVIRONMENT)
    assert known == Credentials("root", SECRET, "/ca.pem", "/cert.pem", "/key.pem")


def test_what_is_given_goes_before_the_environment() -> None:
    mine = Credentials("ana", "pw", "/a", "/b", "/c")
    assert mine.completed_from(ENVIRONMENT) == mine


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert Credentials().completed_from(dict.fromkeys(ENVIRONMENT, "")) == Credentials()


def test_a_user_may_bring_the_password_behind_a_colon() -> None:
    known = Credentials().completed_from({"ETCDCTL_USER": "root:with:colons"})
    assert (known.user, known.password) == ("root", "with:colons")
    known = Credentials().completed_from({"ETCDCTL_USER": "ro:ot", "ETCDCTL_PASSWORD": "pw"})
    assert (known.user, known.password) == ("ro:ot", "pw")


def test_credentials_show_no_password_and_no_key() -> None:
    shown = repr(Credentials("root", SECRET, key="/secret/key.pem"))
    assert SECRET not in shown
    assert "/secret" not in shown


def test_credentials_that_cannot_work_are_refused(tmp_path: Path) -> None:
    pem = tmp_path / "file.pem"
    pem.touch()
    there, missing = str(pem), str(tmp_path / "missing.pem")
    for wrong, complaint in [
        (Credentials(password=SECRET), "without a user"),
        (Credentials(user="root"), "without a password"),
        (Credentials(cert=there), "both cert= and key="),
        (Credentials(key=there), "both cert= and key="),
        (Credentials(ca_cert=missing), "ca_cert=.* is no file"),
        (Credentials(cert=missing, key=there), "cert=.* is no file"),
        (Credentials(cert=there, key=missing), "key=.* is no file"),
        (Credentials(ca_cert=str(tmp_path)), "is no file"),
    ]:
        with pytest.raises(ValueError, match=complaint) as caught:
            wrong.check()
        assert SECRET not in str(caught.value)


def test_credentials_that_can_work_are_let_through(tmp_path: Path) -> None:
    pem = tmp_path / "file.pem"
    pem.touch()
    Credentials().check()
    Credentials("root", "pw", str(pem), str(pem), str(pem)).check()
    Credentials("root", "").check()


def test_a_certificate_asks_for_tls() -> None:
    assert not Credentials("root", "pw").uses_tls
    assert Credentials(ca_cert="/ca.pem").uses_tls
    assert Credentials(cert="/cert.pem", key="/key.pem").uses_tls
