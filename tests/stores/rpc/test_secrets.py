"""What is secret in a call."""

from __future__ import annotations

import pytest

from etcd_watcher.secret import Secret, SecretBytes
from etcd_watcher.stores.http2_link import Link, Route
from tests.stores.http2_server import PATIENCE, SILENT, Open, channel_of, serving
from tests.stores.rpc.scripts import ESTABLISHED, proxy
from tests.tracebacks import shown


@pytest.mark.parametrize("where", ["connect", "send", "wait"])
def test_what_is_secret_is_in_no_traceback(
    opened: Open, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    metadata = [("token", Secret("hidden-token"))]
    with serving(proxy([], ESTABLISHED, SILENT)) as route:
        through = Secret(f"http://luis:hidden-word@127.0.0.1:{route.port}")
        method = opened(Route("etcd.invalid", 2379, None, through))
        if where == "connect":
            monkeypatch.setattr(Link, "send", interrupt)
        else:
            channel = channel_of(method)
            channel.method("/", bytes).begin(b"").cancel()
            link = channel._pool._present._link  # type: ignore[union-attr]
            monkeypatch.setattr(link, where, interrupt)
        with pytest.raises(KeyboardInterrupt) as raised:
            method(SecretBytes(b"hidden"), metadata=metadata, timeout=PATIENCE)
        seen = shown(raised.value)
        assert "Connection object" in seen or where == "connect"
        assert "hidden" not in seen
        channel_of(method).close()
