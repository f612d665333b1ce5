import json

import numpy as np
import pytest

from sciml.dispatch.compare import compare
from sciml.dispatch.policies import Myopic
from sciml.dispatch.simulate import simulate
from sciml.errors import ConfigError, DataError
from tests.dispatch.runs import inflows


@pytest.fixture(scope="module")
def reference(cascade):
    return simulate(Myopic(cascade), inflows(cascade), case=cascade)


def dearer(results, by):
    """The same results, but each scenario costs this much more, $, in its last stage."""
    cost = results.cost.values.copy()
    cost[-1] += by
    return results.assign(cost=(results.cost.dims, cost))


def test_paired_differences_are_those_of_the_closed_form(reference):
    table = compare({"a": reference, "b": dearer(reference, [1.0, -2.0, 4.0])})
    row = table.rows[1]
    # d = (1, -2, 4): mean 1, sd 3; t_{2, 0.975} = 4.302653.
    assert row.difference == pytest.approx(1.0)
    assert row.difference_half == pytest.approx(4.302653 * 3 / 3**0.5, rel=1e-6)
    mean = float(reference.cost.sum("stage").mean())
    assert (row.percent, row.percent_half) == pytest.approx((100 / mean, 100 * row.difference_half / mean))
    assert (row.wins, row.scenarios) == (1, 3)
    np.testing.assert_allclose(table.differences["b"], [1, -2, 4], atol=1e-9)


def test_the_reference_is_the_first_or_the_one_that_is_named(reference):
    results = {"a": reference, "b": dearer(reference, 5.0)}
    assert compare(results).reference == "a"
    named = compare(results, "b")
    assert [row.name for row in named.rows] == ["b", "a"]
    assert named.rows[1].difference == pytest.approx(-5)
    assert named.rows[1].wins == 3


def test_pairing_takes_out_what_all_scenarios_share(reference):
    apart = dearer(reference, [0.0, 500.0, 3000.0])
    row = compare({"a": apart, "b": dearer(apart, [10.0, 10.0, 10.1])}).rows[1]
    assert row.difference_half < 0.2
    assert row.cost_half > 1000


def test_the_table_shows_difference_and_interval(reference):
    table = compare({"SDDP": reference, "TS-DDR": dearer(reference, [1.0, -2.0, 4.0])})
    title, head, first, second = str(table).splitlines()
    assert title == "against SDDP, network dc, 3 paired scenarios, 95 % intervals"
    assert len({len(head), len(first), len(second)}) == 1
    assert "+1.0 ± 7.5" in second
    assert "1 of 3" in second
    assert json.dumps(table.to_dict())


def test_other_inflows_are_refused(cascade, reference):
    w = inflows(cascade)
    w[2, 1, 3] += 0.5
    other = simulate(Myopic(cascade), w, case=cascade)
    with pytest.raises(DataError, match=r"different inflows, by 0\.5 m3/s at stage 2, scenario 2, plant Lowland"):
        compare({"a": reference, "b": other})
    with pytest.raises(DataError, match="different inflows: 4 stages, 2 scenarios, 4 plants against 4 stages, 3 scen"):
        compare({"a": reference, "b": simulate(Myopic(cascade), w[:2], case=cascade)})


def test_other_volumes_and_networks_are_refused(cascade, reference):
    w = inflows(cascade)
    empty = simulate(Myopic(cascade), w, case=cascade, initial_volume=np.zeros(4))
    with pytest.raises(DataError, match="different initial volumes, by 280 hm3 at scenario 0, plant Headwater"):
        compare({"a": reference, "b": empty})
    with pytest.raises(DataError, match="'b' was simulated with network 'soc' and 'a' with 'dc'"):
        compare({"a": reference, "b": reference.assign_attrs(network="soc")})


def test_what_cannot_be_compared_is_refused(reference):
    with pytest.raises(ConfigError, match="reference is 'c'; one of 'a' is expected"):
        compare({"a": reference}, "c")
    with pytest.raises(ConfigError, match="one scenario came"):
        compare({"a": reference.isel(scenario=[0])})
    with pytest.raises(ConfigError, match="no results"):
        compare({})
