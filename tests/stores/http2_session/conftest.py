"""Sessions and streams on which something may come: no socket, bytes as a script says."""

from __future__ import annotations

import pytest
from hpack import Encoder

from etcd_watcher.stores import http2_frames as h2
from etcd_watcher.stores.http2_session import Session, Stream
from tests.stores.http2_server import GRPC
from tests.stores.http2_session.frames import BOUND, settings


@pytest.fixture
def session() -> Session:
    """One that the server has greeted."""
    made = Session()
    made.sort(settings())
    return made


@pytest.fixture
def stream(session: Session) -> Stream:
    """One of its streams, whose answer has begun."""
    made = session.open(BOUND)
    session.sort(h2.frame(h2.HEADERS, h2.END_HEADERS, made.number, Encoder().encode(GRPC)))
    assert made.headers is not None
    return made
