"""Whose a certificate is."""

from __future__ import annotations

from pathlib import Path

import pytest

from etcd_watcher.local import Certificates
from etcd_watcher.stores.certificate import common_name


@pytest.mark.parametrize("name", ["luis", "Luís Núñez", "日本", "x" * 64, None])
def test_the_name_of_a_client_is_found(tmp_path: Path, name: str | None) -> None:
    Certificates(user=name).write(tmp_path)
    assert common_name(str(tmp_path / "client.pem")) == name


def test_text_before_it_and_others_behind_it_do_not_matter(tmp_path: Path) -> None:
    Certificates(user="luis").write(tmp_path)
    own, authority = ((tmp_path / name).read_text() for name in ("client.pem", "ca.pem"))
    chain = tmp_path / "chain.pem"
    chain.write_text(f"Luís' own\n{own}\n{authority}", encoding="latin-1")
    assert common_name(str(chain)) == "luis"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "nothing",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n####\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_certificate_has_no_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "no.pem"
    path.write_text(content, encoding="ascii")
    assert common_name(str(path)) is None
