"""Random worlds: their honest stream keeps every property, and no lie about them goes unseen."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from etcd_watcher.testing import PROPERTIES, History
from tests.testing.faults import FAULTS, Draw, Fault
from tests.testing.worlds import World, with_claims, worlds

# On a busy machine nothing has to be quick, and a world without a place for a lie is drawn anew.
patient = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    max_examples=50,
)


@patient
@given(st.data(), worlds())
def test_an_honest_stream_keeps_every_property(data: st.DataObject, world: World) -> None:
    assert world.broken(data.draw(with_claims(world))) == set()


@patient
@given(st.data(), worlds())
def test_it_does_so_too_where_nobody_knows_of_compactions(
    data: st.DataObject, world: World
) -> None:
    # A gap in which nothing is lost looks like a lie then.
    assume(all(world.loses(first, at) for first, at in world.compactions))
    assert world.broken(data.draw(with_claims(world)), unknowing(world)) == set()


def unknowing(world: World) -> History:
    return History.from_events(world.events, last=world.last)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@patient
@given(data=st.data())
def test_no_lie_goes_unseen(fault: Fault, data: st.DataObject) -> None:
    world = data.draw(worlds(gaps=fault.of_gaps))
    stream = world.stream() if data.draw(st.booleans()) else data.draw(with_claims(world))
    lie = fault.lie(Draw(data), world, stream)
    broken = world.broken(lie)
    assert broken & set(fault.breaks), f"{fault.name} went unseen"
    if fault.alone:
        assert broken <= set(fault.breaks)
    if fault.needs_compactions:
        return
    assert world.broken(lie, unknowing(world)), f"{fault.name} needs to know of compactions"


def test_every_property_has_a_lie_that_it_alone_sees() -> None:
    alone = {fault.breaks for fault in FAULTS if fault.alone and len(fault.breaks) == 1}
    assert {name for (name,) in alone} >= set(PROPERTIES) - {"ordered", "resumable"}
