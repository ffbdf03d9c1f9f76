"""Where to connect and as whom: URLs, users and certificates, checked before anything is tried."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from etcd_watcher.secret import Secret, conceal
from etcd_watcher.table import one_line

__all__ = ["DEFAULT_ENDPOINTS", "Credentials", "is_loopback", "parse_endpoints"]

DEFAULT_ENDPOINTS = ("http://127.0.0.1:2379", "http://127.0.0.1:4001")
"""etcd's own port, then the one of etcd before 2.0, which is still python-etcd's default."""

NO_PASSWORD = re.compile(r"(\w+://)?[^:@?#]*(:\d{0,5}(/[^:@?#]*)?)?")
"""What can be repeated of a mistyped endpoint: text in which nothing can be a password, so without
`@`, and with nothing but digits behind a colon that is not the scheme's."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to the server, and how we know that it is the right one. Its repr tells neither.

    Attributes
    ----------
    user, password : str or None
        An etcd user.
    ca_cert, cert, key : str or None
        Paths of PEM files: the authority that signed the server's certificate, and our own
        certificate with its key.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_cert: str | None = None
    cert: str | None = None
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "password", conceal(self.password))

    def completed_from(self, environ: Mapping[str, str]) -> Credentials:
        """Take etcdctl's environment variables for what is not given here; unchecked."""

        def known(name: str, given: str | None) -> str | None:
            return given if given is not None else environ.get(f"ETCDCTL_{name}") or None

        user, password = known("USER", self.user), known("PASSWORD", self.password)
        if user and password is None and ":" in user:  # etcdctl's user:password
            user, _, password = user.partition(":")
        return Credentials(
            user=user,
            password=password,
            ca_cert=known("CACERT", self.ca_cert),
            cert=known("CERT", self.cert),
            key=known("KEY", self.key),
        )

    def completed_by(self, server: object) -> Credentials:
        """Take a server's own attributes of these names for what is not given here."""

        def known(name: str) -> Any:
            given = getattr(self, name)
            return given if given is not None else getattr(server, name, None)

        pair = ("user", "password") if self.user is None else ()
        names = (*pair, "ca_cert", *(("cert", "key") if self.cert is None else ()))
        return replace(self, **{name: known(name) for name in names})

    def check(self) -> None:
        """Refuse what cannot work, before a server is asked.

        Raises
        ------
        ValueError
            For a password without a user, half a client certificate, or a file that is not there.
        """
        if self.password and not self.user:
            raise ValueError("a password without a user: give user= too (or ETCDCTL_USER)")
        if self.user and self.password is None:
            raise ValueError("a user without a password: give password= too (or ETCDCTL_PASSWORD)")
        if bool(self.cert) != bool(self.key):
            raise ValueError("a client certificate needs both cert= and key=, paths of PEM files")
        for name in ("ca_cert", "cert", "key"):
            path = getattr(self, name)
            if path is not None and not Path(path).is_file():
                raise ValueError(f"{name}={path!r} is no file: give the path of a PEM file")

    @property
    def uses_tls(self) -> bool:
        return self.ca_cert is not None or self.cert is not None


def parse_endpoints(
    given: str | Iterable[str], *, tls: bool = False
) -> tuple[tuple[str, ...], str | None, str | None]:
    """Check endpoints and give them as clean URLs, with a user and password where a URL has them.

    Parameters
    ----------
    given : str or iterable of str
        URLs (`http://host:port`), or `host:port` as etcdctl takes it; a string may hold several,
        separated by commas.
    tls : bool
        Whether `host:port` means https.

    Returns
    -------
    endpoints, user, password
    """
    texts = conceal(given.split(",") if isinstance(given, str) else list(given))
    if not texts:
        raise ValueError("no endpoint given: pass a URL such as http://127.0.0.1:2379")
    user = password = None
    urls: list[str] = []
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(
                f"an endpoint is a URL as text, such as http://127.0.0.1:2379, "
                f"not {type(text).__name__}: write it as http://HOST:PORT"
            )
        found = _parse(text.strip(), tls=tls)
        if found.complaint:
            raise ValueError(found.complaint)
        user, password = user or found.user, password or found.password
        if found.url not in urls:
            urls.append(found.url)
    return tuple(urls), user, password


class _Endpoint(NamedTuple):
    url: str
    user: str | None = None
    password: str | None = None
    complaint: str = ""
    """What is wrong with it, if anything; then the rest says nothing."""


def _parse(text: str, *, tls: bool) -> _Endpoint:
    """Take a URL to pieces; give what is wrong with it where that cannot be done.

    Nothing is raised out of here, because a traceback may show variables, and these hold the text.
    """
    full = text if "://" in text else f"{'https' if tls else 'http'}://{text}"
    advice = "write it as http://HOST:PORT or https://HOST:PORT"
    # The text may hold a password, anywhere if it is mistyped, and so may the errors of urlsplit: it
    # is repeated only where it holds none, else at most the host.
    typed = f"the endpoint '{one_line(text)}'" if NO_PASSWORD.fullmatch(text) else "an endpoint"
    try:
        parts = urlsplit(full)
        host, scheme = parts.hostname, parts.scheme
    except ValueError:
        return _Endpoint("", complaint=f"{typed} is no URL: {advice}")
    named = f"the endpoint {host!r}" if host and typed == "an endpoint" else typed
    if "://" in text and scheme not in ("http", "https"):
        return _Endpoint("", complaint=f"{named} has the scheme {scheme!r}: {advice}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        return _Endpoint(
            "", complaint=f"{named} has no usable port, which is a number from 1 to 65535: {advice}"
        )
    if not host or any(char.isspace() for char in full):
        return _Endpoint("", complaint=f"{typed} names no host: {advice}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return _Endpoint("", complaint=f"{named} has something behind its port: {advice}")
    host = f"[{host}]" if ":" in host else host
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else Secret(unquote(parts.password))
    return _Endpoint(f"{scheme}://{host}:{port or 2379}", user, password)


def is_loopback(url: str) -> bool:
    """Tell whether an endpoint is on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, whatever it begins with
        return False
