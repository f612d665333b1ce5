"""Pools of programs: order, errors and numbers do not depend on the number of processes."""

import gc
import pickle

import numpy as np
import pytest

from sciml.dispatch.pool import ProgramPool, solve_all
from sciml.errors import ConfigError, InfeasibleError, ShapeError, SolverError
from tests.dispatch.toy_programs import cannot_be_made, least_norm


@pytest.fixture(scope="module")
def pool():
    with ProgramPool(least_norm, workers=2) as pool:
        yield pool


def parameters(batch=21):
    return np.random.default_rng(1).uniform(0, 2, size=(batch, 3))


def test_solves_are_the_closed_form_in_the_order_of_the_batch(pool):
    p = parameters()
    values, multipliers, variables = pool.solve(p)
    inverse = np.linalg.inv(least_norm().matrix @ least_norm().matrix.T)
    # Round-off of a 3 x 3 system.
    np.testing.assert_allclose(multipliers, p @ inverse, rtol=1e-12)
    np.testing.assert_allclose(values, (p @ inverse * p).sum(1) / 2, rtol=1e-12)
    np.testing.assert_allclose(variables["x"] @ least_norm().matrix.T, p, rtol=1e-12)


@pytest.mark.parametrize("batch", [1, 2, 21])
def test_numbers_do_not_depend_on_the_number_of_workers(pool, batch):
    alone, several = ProgramPool(least_norm).solve(parameters(batch)), pool.solve(parameters(batch))
    for one, other in zip(alone[:2], several[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(alone[2]["x"], several[2]["x"])


def test_all_workers_work_in_processes_that_stay(pool):
    workers = [set(pool.solve(parameters(200))[2]["worker"].ravel()) for _ in range(2)]
    assert len(workers[0] | workers[1]) == 2


def test_an_empty_batch_has_an_empty_answer(pool):
    for some in (pool, ProgramPool(least_norm)):
        values, multipliers, _ = some.solve(np.zeros((0, 3)))
        assert values.shape == (0,)
        assert multipliers.shape == (0, 3)


def test_variables_are_sent_only_if_they_are_wanted(pool):
    assert pool.solve(parameters(), variables=False)[2] == {}


def test_statuses_and_attempts_come_with_the_solutions(pool):
    solutions = pool.solutions(parameters(5))
    assert solutions.statuses == ("optimal",) * 5
    assert (solutions.attempts == 1).all()


def test_the_error_of_the_first_scenario_that_failed_comes_back_and_the_pool_goes_on(pool):
    p = parameters()
    p[[2, 3, 19], 0] = -1, -2, -3  # both workers fail at their first piece
    for some in (pool, ProgramPool(least_norm)):
        for _ in range(5):
            with pytest.raises(InfeasibleError, match=r"^scenario 2: first is -1; at least 0") as caught:
                some.solve(p)
            assert caught.value.scenario == 2
        np.testing.assert_array_equal(some.solve(parameters())[0], solve_all(least_norm(), parameters()).values)


def test_an_error_that_cannot_be_read_here_is_told(pool):
    p = parameters()
    p[3, 0] = 1414
    with pytest.raises(SolverError, match="UnreadableError: no way"):
        pool.solve(p)


def test_a_worker_that_dies_is_told_and_replaced():
    p = parameters()
    p[2, 0] = 1313
    with ProgramPool(least_norm, workers=1) as pool:
        with pytest.raises(SolverError, match="ended without an answer"):
            pool.solve(p)
        np.testing.assert_array_equal(pool.solve(parameters())[0], solve_all(least_norm(), parameters()).values)


def test_a_method_is_called_on_the_program_of_every_worker():
    with ProgramPool(least_norm, workers=2) as pool:
        assert pool.call("raise_by", 5.0, times=2) == [10.0, 10.0]
        assert pool.call("environment", "OMP_NUM_THREADS") == ["1", "1"]
        difference = pool.solve(parameters())[0] - solve_all(least_norm(), parameters()).values
        np.testing.assert_allclose(difference, 10, rtol=1e-12)
        with pytest.raises(AttributeError, match="no_such"):
            pool.call("no_such")


def test_a_pool_is_pickled_without_its_processes(pool):
    again = pickle.loads(pickle.dumps(pool))
    assert again.workers == 2
    assert again._crew is None


def test_processes_end_with_the_pool():
    pool = ProgramPool(least_norm, workers=1)
    pool.solve(parameters(1))
    [process] = pool._crew._processes
    assert process.is_alive()
    del pool
    gc.collect()
    assert not process.is_alive()


def test_bad_input_is_explained(pool):
    with pytest.raises(ShapeError, match=r"\(4, 2\) came; \(batch, 3\) is expected, in this order: first 1, rest 2"):
        pool.solve(np.zeros((4, 2)))
    with pytest.raises(ConfigError, match="workers=-1"):
        ProgramPool(least_norm, workers=-1)
    with pytest.raises(ConfigError, match=r"cannot be sent to worker processes.*functools\.partial"):
        ProgramPool(lambda: least_norm(), workers=1).solve(parameters())
    with pytest.raises(InfeasibleError, match="there is no such program"):
        ProgramPool(cannot_be_made, workers=1).solve(parameters())
