"""Routing against brute force: ask every route whether it means the key."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etcd_watcher.keys import KeyRange
from etcd_watcher.router import Route, Router

# On a busy machine nothing has to be quick.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100)

keys = st.lists(st.sampled_from([b"\x00", b"a", b"/", b"\xfe", b"\xff"]), max_size=4).map(b"".join)
wanted = st.lists(st.tuples(keys, st.booleans()), unique=True, max_size=12)


def route(key: bytes, *, prefix: bool) -> Route:
    scope = KeyRange.of_prefix(key) if prefix else KeyRange.of_key(key)
    return Route(repr(key), scope, prefix)


def brute_force(routes: list[Route], key: bytes) -> list[Route]:
    return [
        each
        for each in routes
        if (key.startswith(each.scope.start) if each.prefix else key == each.scope.start)
    ]


def same(found: list[Route], expected: list[Route]) -> bool:
    return len(found) == len(expected) and set(map(id, found)) == set(map(id, expected))


@patient
@given(wanted, st.lists(keys, min_size=1, max_size=8), st.data())
def test_a_key_is_on_the_routes_that_mean_it_and_no_others(
    asked: list[tuple[bytes, bool]], looked_up: list[bytes], data: st.DataObject
) -> None:
    router = Router()
    routes = [route(key, prefix=prefix) for key, prefix in asked]
    for each in routes:
        router.add(each)
    looked_up += [key for key, _ in asked] + [key + b"a" for key, _ in asked]
    for key in looked_up:
        assert same(router.match(key), brute_force(routes, key))
    gone = data.draw(st.sets(st.sampled_from(range(len(routes))))) if routes else set()
    for index in gone:
        router.remove(routes[index])
    left = [each for index, each in enumerate(routes) if index not in gone]
    for key in looked_up:
        assert same(router.match(key), brute_force(left, key))
    assert list(router) == left
    assert len(router) == len(left)


@patient
@given(wanted)
def test_a_route_is_found_by_exactly_its_key_and_kind(asked: list[tuple[bytes, bool]]) -> None:
    router = Router()
    routes = {pair: route(pair[0], prefix=pair[1]) for pair in asked}
    for each in routes.values():
        router.add(each)
    for key, prefix in [*asked, *((key, not prefix) for key, prefix in asked)]:
        scope = KeyRange.of_prefix(key) if prefix else KeyRange.of_key(key)
        assert router.find(scope, prefix=prefix) is routes.get((key, prefix))


@patient
@given(keys, st.binary(max_size=5))
def test_the_empty_prefix_gets_every_key(key: bytes, other: bytes) -> None:
    router = Router()
    everything = route(b"", prefix=True)
    router.add(everything)
    assert router.match(key) == router.match(other) == [everything]


def test_an_exact_key_and_the_same_key_as_a_prefix_are_two_routes() -> None:
    router = Router()
    exact, prefix = route(b"a", prefix=False), route(b"a", prefix=True)
    router.add(exact)
    router.add(prefix)
    assert router.match(b"a") == [exact, prefix]
    assert router.match(b"ab") == [prefix]
    router.remove(exact)
    assert router.match(b"a") == [prefix]


def test_routes_come_in_the_order_in_which_they_were_added_even_again() -> None:
    router = Router()
    first, second = route(b"b", prefix=False), route(b"a", prefix=True)
    router.add(first)
    router.add(second)
    router.remove(first)
    router.add(first)
    assert list(router) == [second, first]


def test_removing_the_last_prefix_of_a_length_costs_nothing_afterwards() -> None:
    router = Router()
    for size in range(1, 50):
        each = route(b"x" * size, prefix=True)
        router.add(each)
        router.remove(each)
    assert not router._prefixes
    assert not router._exact


@pytest.mark.parametrize("prefix", [False, True])
def test_a_match_looks_at_no_more_tables_with_ten_thousand_keys_than_with_ten(
    prefix: bool,  # noqa: FBT001 - a parameter
) -> None:
    def cost(count: int) -> float:
        router = Router()
        for number in range(count):
            router.add(route(b"key-%06d" % number, prefix=prefix))
        names = [b"key-%06d" % (number * count // 100) for number in range(100)]
        best = float("inf")
        for _ in range(20):
            begun = time.perf_counter()
            for name in names:
                assert len(router.match(name)) == 1
            best = min(best, time.perf_counter() - begun)
        return best

    # A search of the routes would cost a thousand times as much; a busy machine, a few times.
    assert cost(10_000) < 20 * cost(10)
