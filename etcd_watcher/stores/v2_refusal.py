"""Which right is lacking, where etcd v2 refuses to let all watched keys be polled at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import islice

from etcd_watcher.errors import ConnectionFailed, Denied, RequestRejected
from etcd_watcher.keys import KeyRange, to_text
from etcd_watcher.stores.v2_client import read_index
from etcd_watcher.stores.v2_keys import Place, place_of
from etcd_watcher.stores.v2_questions import Ask

__all__ = ["explain_refusal"]

LOOKED_AT = 20
"""Keys that are asked for one by one: each is a request."""


def explain_refusal(
    ask: Ask, place: Place, scopes: Sequence[KeyRange], denied: Denied
) -> RequestRejected:
    """Give the error for a place that our user may not read, when ranges in it were asked for.

    It is one of these that they may not read either; or else all of the place that they would have
    to, since v2 is polled for everything at once.
    """
    places = dict.fromkeys(map(place_of, scopes))
    if place in places:
        return denied
    with suppress(ConnectionFailed):
        for each in islice(places, LOOKED_AT):
            try:
                ask(partial(read_index, key=each.index_key), each.index_key)
            except Denied as own:
                return own
    return RequestRejected(
        f"{denied} All keys of a watcher are read together on v2, from the nearest directory that "
        f"has all of them, which is {to_text(place.path) or '/'!r} here: a role of the user has to "
        f"let it read {to_text(place.path) + '/*'!r}. Else take a Watcher for each directory that "
        'it may read, or api="v3"'
    )
