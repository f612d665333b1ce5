"""Solving elliptic problems as runs: certificates, going on after a stop, theory, Ritz, and what is reported."""

import json
import math
from dataclasses import replace

import pytest
import torch

import sciml
from datamodules.elliptic import EllipticData
from models.barron import FlowSolving
from models.barron_ritz import RitzSolving
from models.callbacks import StopOnErrorBound
from sciml.errors import ConfigError
from sciml.report import Report
from tests.models.trainers import quiet_trainer

FLOW = {"tol": 1e-8, "points": 2**10, "certify_points": 2**10}
RITZ = {"hidden": [40], "certify_points": 2**8}


def data(**settings):
    return EllipticData(
        **{"problem": "cubic", "dimension": 3, "boundary": "periodic", "solution": "waves", "points": 200, **settings}
    )


def trainer(folder, *, steps=60, **settings):
    return quiet_trainer(folder, steps=steps, num_sanity_val_steps=0, **{"limit_val_batches": 0, **settings})


def solved(folder, model=None, source=None, **settings):
    model, source = model or FlowSolving(**FLOW), source or data()
    runner = trainer(folder, **settings)
    runner.fit(model, source)
    runner.test(model, source, verbose=False)
    return model


def test_the_flow_ends_when_the_error_is_certified_and_the_true_error_is_below_it(tmp_path):
    model = solved(tmp_path)
    assert model.verdict == "converged"
    assert len(model.history) < 20
    assert model.tested.relative <= 1e-8
    assert not model.tested.estimate
    truth = model.data.solution
    error = float((model.network - truth).h1() / truth.h1())
    # Points without structure measure the H1 error to a few percent, lattices of the certificate likewise.
    assert model.true["H1"] == pytest.approx(error, rel=0.2)
    assert error <= 1.05 * model.tested.relative


def test_waves_that_do_not_matter_to_the_error_are_left_out(tmp_path):
    model = solved(tmp_path)
    whole = model.flow.net
    assert len(model.network) == len(model.data.solution) < len(whole)
    assert float((whole - model.network).h1()) <= 0.1 * model.tol * float(whole.h1())


def test_a_flow_that_is_stopped_goes_on_to_the_same_numbers(tmp_path):
    # A decaying spectrum: frequencies and lattices grow on the way.
    def source():
        return data(dimension=2, boundary="dirichlet", solution="poisson_kernel")

    settings = {"tol": 1e-5, "points": 2**8, "certify_points": 2**8}
    whole = FlowSolving(**settings)
    trainer(tmp_path).fit(whole, source())
    stop = len(whole.history) // 2
    first = FlowSolving(**settings)
    half = trainer(tmp_path, steps=stop)
    half.fit(first, source())
    half.save_checkpoint(tmp_path / "half.ckpt")
    second = FlowSolving(**settings)
    trainer(tmp_path).fit(second, source(), ckpt_path=tmp_path / "half.ckpt")
    assert first.flow.points < second.flow.points or len(first.flow.net) < len(second.flow.net)

    def numbers(model):
        return [repr(replace(record, seconds=0.0)) for record in model.history]

    assert numbers(second) == numbers(whole)
    assert torch.equal(second.network.coefficients, whole.network.coefficients)
    assert second.history[-1].seconds > second.history[stop - 1].seconds


def test_lattices_that_were_too_kind_are_replaced_by_larger_ones(tmp_path, monkeypatch):
    model = FlowSolving(**FLOW)
    sizes = []

    def bound(stamp):
        sizes.append(model.flow.points)
        found = FlowSolving.bound(model, stamp)
        return replace(found, relative=1.0) if len(sizes) == 1 else found

    monkeypatch.setattr(model, "bound", bound)
    trainer(tmp_path).fit(model, data())
    assert model.verdict == "converged"
    assert sizes[1] >= 2 * sizes[0]


def test_a_tolerance_out_of_reach_ends_with_the_reason_and_the_certificate_that_was_reached(tmp_path):
    source = data(dimension=4, boundary="dirichlet", solution="poisson_kernel")
    model = solved(tmp_path, FlowSolving(**FLOW, max_modes=30), source)
    assert "30 are allowed: the spectrum of the solution decays too slowly" in model.verdict
    assert 1e-8 < model.tested.relative < 1


def test_plain_descent_contracts_as_predicted_and_stays_below_its_bounds(tmp_path):
    source = data(solution_settings={"size": 0.2})
    model = solved(tmp_path, FlowSolving(**FLOW, theory=True), source, steps=10)
    norm = float(source.solution.wiener())
    assert pytest.approx(1 + 3 * norm**2, rel=1e-8) == model.flow.constants.M  # of a difference quotient
    rate = model.errors[-1] / model.errors[-2]
    assert rate <= model.flow.constants.contraction(1 / model.flow.constants.M) * (1 + 1e-6)
    assert all(record.barron <= record.one_step_bound * (1 + 1e-12) for record in model.history)
    report = Report("title", model.headline(), tmp_path / "figures")
    model.describe(report)
    page = report.write(tmp_path / "report.html").read_text()
    assert "<td>energy never rises</td><td>yes</td>" in page


def test_theory_without_a_known_spectrum_or_known_constants_is_refused(tmp_path):
    for settings, message in (
        ({"solution": "exponential"}, "compares with a solution that is a sum of waves"),
        ({"problem": "minimal_surface"}, "lam of the problem 'minimal surface' is not known"),
    ):
        with pytest.raises(ConfigError, match=message):
            trainer(tmp_path).fit(FlowSolving(theory=True), data(**settings))


def test_the_fit_of_the_last_layer_gains_orders_of_magnitude(tmp_path):
    source = data(problem="reaction_diffusion", dimension=2, boundary="dirichlet", solution="sines")
    validating = {"limit_val_batches": 1.0, "val_check_interval": 50, "check_val_every_n_epoch": None}
    found = {}
    for fit in (False, True):
        model = solved(
            tmp_path, RitzSolving(hidden=[120], certify_points=2**8, fit=fit), source, steps=100, **validating
        )
        found[fit] = model.tested.relative
        assert [record.modes for record in model.history] == [120, 120]
        assert model.true["H1"] < 1.05 * model.tested.relative
    assert model.verdict.startswith("trained for 100 steps, 120 outer weights fitted in ")
    assert found[True] < 0.02 * found[False]


@pytest.mark.parametrize(("tol", "steps"), [(1e9, 20), (1e-9, 60)])
def test_training_stops_at_the_validation_that_certifies_the_error(tol, steps, tmp_path):
    source = data(problem="reaction_diffusion", dimension=1, boundary="dirichlet", solution="sines")
    validating = {"limit_val_batches": 1.0, "val_check_interval": 20, "check_val_every_n_epoch": None}
    runner = trainer(tmp_path, callbacks=[StopOnErrorBound(tol)], **validating)
    runner.fit(RitzSolving(**RITZ, fit=False), source)
    assert runner.global_step == steps


@pytest.mark.parametrize("make", [lambda: FlowSolving(**FLOW), lambda: RitzSolving(**RITZ)], ids=["flow", "ritz"])
def test_an_exported_solution_runs_without_lightning_and_tells_its_certificate(make, tmp_path):
    model = solved(tmp_path, make(), steps=25)
    model.export(tmp_path / "model")
    net = sciml.load(tmp_path)
    x = torch.rand(9, 3, dtype=torch.float64)
    torch.testing.assert_close(net(x), model.network(x), rtol=0, atol=0)
    known = json.loads((tmp_path / "model/config.json").read_text())["sciml"]
    assert known["certificate"]["relative"] == model.tested.relative
    assert (known["problem"], known["dimension"], known["verdict"]) == ("cubic", 3, model.verdict)


def test_the_report_says_what_was_certified_and_shows_how(tmp_path):
    model = solved(tmp_path)
    report = Report("title", model.headline(), tmp_path / "figures")
    model.describe(report)
    page = report.write(tmp_path / "report.html").read_text()
    assert model.headline().startswith("Certified H1 error of the cubic problem in dimension 3: at most ")
    assert f"; true error {model.true['H1']:.2g}. {len(model.network)} waves, " in model.headline()
    for figure in ("convergence", "norms", "spectrum", "slices", "widths"):
        assert (tmp_path / f"figures/{figure}.png").stat().st_size > 0
    assert "true error, relative L2" in page
    estimated = solved(tmp_path, source=data(problem="minimal_surface"))
    assert estimated.headline().startswith("Estimated H1 error")
    assert not math.isnan(estimated.history[-1].certificate)


def test_wrong_settings_say_what_is_expected():
    with pytest.raises(ConfigError, match="the Barron flow, which has no weights to freeze"):
        FlowSolving(recipe=print)
    with pytest.raises(ConfigError, match=r"model\.learning_rate is 'fast'"):
        RitzSolving(learning_rate="fast")
    with pytest.raises(ConfigError, match="tol=0 of StopOnErrorBound came"):
        StopOnErrorBound(0)
