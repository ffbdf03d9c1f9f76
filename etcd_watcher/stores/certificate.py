"""Whose a certificate is: by its common name etcd knows a user who gives no other."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from etcd_watcher.endpoints import Credentials

__all__ = ["common_name", "known_as"]

ONE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

SUBJECT = 4
"""Which part of what is signed it is, the version aside (RFC 5280, section 4.1)."""

COMMON_NAME = b"\x55\x04\x03"
"""2.5.4.3, as it is encoded."""

VERSION = 0xA0
"""The tag of that part, which may be missing."""

LONG = 0x80
"""The bit that says that a size takes several bytes."""


def known_as(credentials: Credentials) -> str | None:
    """Give the user that etcd takes us for; None for nobody."""
    if credentials.user is not None or credentials.cert is None:
        return credentials.user
    return common_name(credentials.cert)


def common_name(path: str) -> str | None:
    """Give the common name in a file's first certificate, which is our own; None without one."""
    found = ONE.search(Path(path).read_text(encoding="ascii", errors="replace"))
    if found is None:
        return None
    try:
        der = ssl.PEM_cert_to_DER_cert(found.group())
        (_, certificate), *_ = _parts(der)
        (_, signed), *_ = _parts(certificate)
        subject = [content for tag, content in _parts(signed) if tag != VERSION][SUBJECT]
        names = [_parts(one) for _, several in _parts(subject) for _, one in _parts(several)]
        told = [value.decode() for (_, kind), (_, value), *_ in names if kind == COMMON_NAME]
    except (ValueError, IndexError):  # no certificate after all: whoever uses it will say so
        return None
    return told[-1] if told else None


def _parts(der: bytes) -> list[tuple[int, bytes]]:
    """Cut a DER encoding into its parts, each with its tag."""
    parts: list[tuple[int, bytes]] = []
    at = 0
    while at < len(der):
        tag, size, at = der[at], der[at + 1], at + 2
        if size & LONG:
            width = size & ~LONG
            size, at = int.from_bytes(der[at : at + width]), at + width
        parts.append((tag, der[at : at + size]))
        at += size
    return parts
