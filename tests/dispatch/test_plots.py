import io

import numpy as np
import pytest

from sciml.dispatch import plots
from sciml.dispatch.compare import compare
from sciml.dispatch.foresight import perfect_foresight
from sciml.dispatch.policies import CutPolicy, Myopic
from sciml.dispatch.sddp import Estimate, Iteration
from sciml.dispatch.simulate import simulate
from tests.dispatch.runs import inflows, one_cut


@pytest.fixture(scope="module")
def results(cascade):
    w = 0.5 * inflows(cascade, scenarios=5)
    return {
        "SDDP": simulate(CutPolicy(one_cut(cascade), cascade), w, case=cascade),
        "myopic": simulate(Myopic(cascade), w, case=cascade, initial_volume=None),
        "perfect foresight": perfect_foresight(w, case=cascade),
    }


def drawn(figure):
    """The figure, after it was drawn as a whole."""
    figure.savefig(io.BytesIO(), format="png")
    return figure


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_storage_fan_has_a_panel_a_plant_with_medians_from_the_initial_volume_and_limits(results):
    figure = drawn(plots.storage_fan(results["SDDP"], against=results["myopic"]))
    assert [axes.get_title() for axes in figure.axes] == ["Headwater", "Gorge", "Tributary", "Lowland"]
    median, other, low, high = figure.axes[0].lines
    np.testing.assert_allclose(median.get_ydata()[0], 280)
    np.testing.assert_allclose(median.get_ydata()[1:], results["SDDP"].volume.sel(plant="Headwater").median("scenario"))
    np.testing.assert_allclose(
        other.get_ydata()[1:], results["myopic"].volume.sel(plant="Headwater").median("scenario")
    )
    assert (low.get_ydata()[0], high.get_ydata()[0]) == (0, 560)


def test_a_storage_fan_shows_the_plants_that_are_asked_for(results):
    figure = drawn(plots.storage_fan(results["SDDP"], plants=["Gorge", "Headwater", "Tributary"]))
    shown = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert shown == ["Gorge", "Headwater", "Tributary"]


def test_the_generation_mix_adds_up_to_the_demand(cascade, results):
    axes = drawn(plots.generation_mix(results["SDDP"])).axes[0]
    *layers, demand = axes.patches
    np.testing.assert_allclose(layers[-1].get_data().values, demand.get_data().values, rtol=1e-9)
    np.testing.assert_allclose(demand.get_data().values, results["SDDP"].demand.sum("bus"), rtol=1e-12)
    assert legend(axes)[-2:] == ["thermal, 22 $/MWh", "hydro"]
    assert "not served" not in legend(axes)


def test_many_thermal_units_are_drawn_in_groups_of_those_that_run(results):
    import xarray as xr

    many = xr.concat([results["SDDP"]] * 3, "unit", data_vars="minimal")
    cost = np.arange(10.0, 25.0)
    many = many.assign_coords(unit=np.arange(15), thermal_cost=("unit", cost))
    power = many.thermal.values.copy()
    power[..., 7:] = 0
    many = many.assign(thermal=(many.thermal.dims, power))
    axes = drawn(plots.generation_mix(many)).axes[0]
    assert legend(axes)[-2:] == ["thermal, 10 to 11 $/MWh", "hydro"]
    assert len(legend(axes)) <= 7
    assert all(int(text.split()[-2]) < 17 for text in legend(axes)[1:-1])
    *layers, _ = axes.patches
    generated = many.thermal.sum("unit") + many.hydro.sum("plant")
    np.testing.assert_allclose(layers[-1].get_data().values, generated.mean("scenario"), rtol=1e-9)


def test_load_that_is_not_served_is_on_top_of_the_generation_mix(cascade):
    dry = np.full((2, 2, 4), 1.0)
    short = simulate(Myopic(cascade), dry, case=cascade, initial_volume=np.zeros(4))
    axes = drawn(plots.generation_mix(short)).axes[0]
    assert legend(axes)[:2] == ["demand", "not served"]
    missing = axes.patches[-2].get_data()
    np.testing.assert_allclose(missing.values - missing.baseline, short.deficit.sum("bus").mean("scenario"))


def test_prices_are_means_over_the_load_and_water_values_medians(results):
    above, below = drawn(plots.prices_and_water_values(results["SDDP"])).axes
    shares = results["SDDP"].demand / results["SDDP"].demand.sum("bus")
    price = (results["SDDP"].price * shares).sum("bus").median("scenario")
    np.testing.assert_allclose(above.lines[0].get_ydata(), price)
    medians = [line.get_ydata() for line in below.lines]
    np.testing.assert_allclose(np.transpose(medians), results["SDDP"].water_value.median("scenario"))
    assert below.get_xlabel() == "week"


def test_costs_far_from_the_cheapest_are_only_in_the_legend(results):
    far = results["SDDP"].assign(cost=9 * results["SDDP"].cost)
    axes = drawn(plots.cost_distribution({"near": results["SDDP"], "far": far})).axes[0]
    assert [text.endswith("(not shown)") for text in legend(axes)] == [False, True]
    step = axes.lines[0]
    np.testing.assert_allclose(step.get_xdata(), np.sort(results["SDDP"].cost.sum("stage")))
    np.testing.assert_allclose(step.get_ydata(), [0.2, 0.4, 0.6, 0.8, 1.0])


def test_a_paired_comparison_names_means_and_intervals(results):
    table = compare(results, "SDDP")
    axes = drawn(plots.paired_comparison(table)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["myopic", "perfect foresight"]
    texts = [text.get_text() for text in axes.texts]
    row = table.rows[2]
    assert f"{row.percent:+.2f} % ± {row.percent_half:.2f}, cheaper in {row.wins} of 5" in texts


@pytest.mark.parametrize("bound", [None, 95.0, ([0.5, 2.0, 4.0], [0.0, 90.0, 95.0])])
def test_training_curves_end_above_the_bound_in_sight(bound):
    curves = {"a": ([1, 2, 4], [900.0, 110.0, 101.0]), "b": ([1, 2, 4], [500.0, 130.0, 120.0])}
    axes = drawn(plots.training_curves(curves, bound=bound, references={"SDDP, simulated": 98.0})).axes[0]
    low, high = axes.get_ylim()
    assert low < 98 and 120 < high < 250  # noqa: PT018
    assert legend(axes) == ["a", "b", "SDDP, simulated, 98", *([] if bound is None else ["SDDP's lower bound, 95"])]


@pytest.mark.parametrize("simulated", [False, True])
def test_convergence_shows_bound_passes_and_the_gap(simulated):
    history = [
        Iteration(iteration=i, bound=100 - 50 / i, cost=100 + 30 / i, cuts=i, dropped=0, seconds=0.1 * i)
        for i in range(1, 41)
    ]
    estimate = Estimate(np.array([99.0, 101.0, 103.0])) if simulated else None
    left, *right = drawn(plots.sddp_convergence(history, estimate=estimate)).axes
    bound = next(line for line in left.lines if line.get_label() == "lower bound")
    np.testing.assert_allclose(bound.get_ydata(), [record.bound for record in history])
    assert len(right) == simulated
    for axes in right:
        np.testing.assert_allclose(
            axes.lines[0].get_ydata(), [101 - record.bound for record in history][:] / np.array(1.01)
        )
