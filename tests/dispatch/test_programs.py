"""The program of a network gets the solver that it needs."""

import numpy as np
import pytest

from sciml.dispatch.conic import ConicProgram
from sciml.dispatch.linear import LinearProgram
from sciml.dispatch.network import stage_form
from sciml.dispatch.program import ParametricProgram
from sciml.dispatch.programs import make_horizon_program, make_stage_program, solver_for, typical_parameters
from sciml.errors import ConfigError
from tests.dispatch.two_buses import two_buses


@pytest.mark.parametrize("make", [make_stage_program, make_horizon_program])
@pytest.mark.parametrize(
    ("network", "solver"), [("dc", LinearProgram), ("dc_lossy", ConicProgram), ("soc", ConicProgram)]
)
def test_networks_without_cones_are_linear(make, network, solver):
    program = make(two_buses(), network)
    assert isinstance(program, solver)
    assert isinstance(program, ParametricProgram)


@pytest.mark.parametrize("make", [make_stage_program, make_horizon_program])
def test_unknown_networks_are_refused(make):
    with pytest.raises(ConfigError, match="network is 'acp'; one of dc, dc_lossy, soc, ac is expected"):
        make(two_buses(), "acp")


@pytest.mark.parametrize(("network", "stages"), [("dc", 1), ("soc", 2)])
def test_blocks_cover_the_parameters_in_their_order(network, stages):
    program = make_horizon_program(two_buses(), network, stages, targets="strict")
    ends = [(block.start, block.stop) for block in program.blocks.values()]
    assert list(program.blocks) == ["water", "target", "load"] + (["reactive_load"] if network == "soc" else [])
    starts = [0, *(stop for _, stop in ends)]
    assert [start for start, _ in ends] == starts[:-1]
    assert starts[-1] == stages * (2 + 2 + (2 if network == "soc" else 0))


@pytest.mark.parametrize("targets", [None, "strict", "penalised"])
@pytest.mark.parametrize("stages", [1, 3])
def test_typical_parameters_have_a_solution(cascade, targets, stages):
    program = make_horizon_program(cascade, "dc", stages, targets=targets)
    assert isinstance(program, LinearProgram)
    typical = typical_parameters(cascade, program.form, stages)
    assert program.solve(typical).value > 0
    half = cascade.plants.volume_max / 2 + cascade.plants.volume_min / 2
    inflow = cascade.volume_per_flow * cascade.inflows[0] @ cascade.probabilities[0]
    np.testing.assert_allclose(typical[program.blocks["water"]][: len(half)], half + inflow)


def test_typical_parameters_change_no_optimum(cascade):
    form = stage_form(cascade, "dc")
    typical = typical_parameters(cascade, form, 1)
    one, other = solver_for(form, typical=typical), solver_for(form)
    p = typical * 0.9
    assert one.solve(p).value == pytest.approx(other.solve(p).value, rel=1e-12)
