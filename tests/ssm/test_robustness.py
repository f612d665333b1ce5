import numpy as np
import pytest
import torch

from sciml.ssm.hippo import hippo_legs
from sciml.ssm.robustness import EXACT, LAYER, NORMAL, robustness_report
from sciml.ssm.s4 import S4
from sciml.ssm.s4d import S4D, S4PTD
from sciml.ssm.s5 import S5, S5PTD
from sciml.ssm.systems import ContinuousSystem, initial_system


class Layer:
    """Single-input layers without training: an initial system, random outputs, logarithmic time steps."""

    def __init__(
        self, name="ptd", *, state=16, features=5, discretization="zoh", conjugate=True, dtype=torch.complex128
    ):
        start = initial_system(name, state, conjugate=conjugate)
        generator = torch.Generator().manual_seed(0)
        self.rows = torch.randn(features, state, dtype=torch.float64, generator=generator)
        self.system = ContinuousSystem(
            eigenvalues=start.eigenvalues.expand(features, -1).to(dtype),
            input=start.input.expand(features, -1)[..., None].to(dtype),
            output=(self.rows.to(start.vectors.dtype) @ start.vectors)[:, None].to(dtype),
            step=torch.logspace(-3, -1, features, dtype=torch.float64)[:, None],
            conjugate=conjugate,
            discretization=discretization,
            vectors=start.vectors if name in ("legs", "ptd") else None,
        )

    def continuous_system(self):
        return self.system


def multi_input(features=3, pairs=4):
    values = torch.randn(2, pairs, features, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    start = initial_system("lin", 2 * pairs)
    layer = Layer()
    layer.system = ContinuousSystem(
        eigenvalues=start.eigenvalues[None],
        input=values[:1],
        output=values[1:].mT,
        step=torch.logspace(-3, -1, pairs)[None],
        conjugate=True,
    )
    return layer


def gain_of_hippo(row, step, angles):
    """|c (e^(i theta) - Abar)^-1 Bbar| of HiPPO-LegS itself under a zero-order hold, by a dense matrix exponential."""
    A, B = hippo_legs(len(row))
    transition = torch.linalg.matrix_exp(step * A)
    gain = torch.linalg.solve(A, transition @ B - B)
    identity = torch.eye(len(A), dtype=torch.complex128)
    z = torch.exp(1j * torch.from_numpy(angles))[:, None, None]
    return (torch.linalg.solve(z * identity - transition, gain.to(z.dtype)) @ row.to(z.dtype)).abs().numpy()


@pytest.mark.parametrize("name", ["legs", "ptd"])
def test_the_exact_curve_is_hippo_with_the_outputs_of_the_layer(name):
    layer = Layer(name)
    report = robustness_report(layer)
    for channel in (0, 4):
        step = layer.system.step[channel].item()
        exact = gain_of_hippo(layer.rows[channel], step, report.angles[:, channel])
        # tau = 1e-4 stands for HiPPO: 5e-5 of the response of every state, not of their sum, which may cancel.
        np.testing.assert_allclose(report.gains[EXACT][:, channel], exact, rtol=1e-4, atol=1e-4 * exact.max())


@pytest.mark.parametrize("discretization", ["zoh", "bilinear"])
@pytest.mark.parametrize("conjugate", [True, False])
def test_a_fresh_s4d_layer_is_its_own_comparison_and_ptd_is_close_to_exact(discretization, conjugate):
    options = {"discretization": discretization, "conjugate": conjugate}
    legs, ptd = robustness_report(Layer("legs", **options)), robustness_report(Layer("ptd", **options))
    np.testing.assert_allclose(legs.gains[LAYER], legs.gains[NORMAL], rtol=1e-8)
    np.testing.assert_allclose(legs.spikes[LAYER], legs.spikes[NORMAL], rtol=1e-8)
    assert legs.spikes[LAYER].max() > 50
    assert ptd.spikes[LAYER].max() < 5
    ratio = ptd.critical[LAYER] / ptd.critical[EXACT]
    assert ratio == pytest.approx(np.ones(5), abs=0.15)  # the bound rho / (1 - rho) is 0.056, for each state
    np.testing.assert_allclose(ptd.gains[EXACT].max(axis=0), legs.gains[EXACT].max(axis=0), rtol=0.15)


def test_every_resonance_is_looked_at_even_if_it_is_an_alias():
    layer = Layer("legs", state=32, features=3)
    report = robustness_report(layer)
    folded = torch.acos(torch.cos(layer.system.eigenvalues.imag * layer.system.step)).numpy()
    for channel in range(3):
        distance = np.abs(report.angles[:, channel, None] - np.maximum(folded[channel], 1e-4)).min(axis=0)
        assert distance.max() < 1e-9
    assert report.angles.max() <= np.pi
    assert (np.diff(report.angles, axis=0) >= 0).all()


def test_a_single_resonance_stands_out_by_what_it_adds():
    """One lightly damped pair: |G| is 1 / (2 decay) at its peak, and about 1 / frequency within a factor of two."""
    layer = Layer("lin", features=1)
    w, decay, step = 0.1, 1e-5, 1.0
    layer.system = ContinuousSystem(
        eigenvalues=torch.tensor([[-decay + 1j * w]], dtype=torch.complex128),
        input=torch.ones(1, 1, 1, dtype=torch.complex128) / 2j,  # x'' + w^2 x = w u
        output=torch.ones(1, 1, 1, dtype=torch.complex128),
        step=torch.full((1, 1), step),
        conjugate=True,
    )
    report = robustness_report(layer)
    assert report.gains[LAYER].max() == pytest.approx(1 / (2 * decay), rel=1e-2)
    assert report.spikes[LAYER][0] == pytest.approx(1 / (2 * decay) / (1 / w), rel=0.9)
    assert report.margin == pytest.approx(decay)


def test_a_layer_with_several_inputs_has_a_curve_of_its_own_only():
    layer = multi_input()
    report = robustness_report(layer)
    assert report.gains.keys() == report.spikes.keys() == {LAYER}
    assert report.critical == {}
    assert report.angles.shape == report.gains[LAYER].shape
    assert report.angles.shape[1] == 1
    assert "exact" not in str(report)
    assert len(report.figure().axes) == 1


def test_the_gain_of_several_inputs_is_the_root_mean_square_over_their_directions():
    layer = multi_input()
    report = robustness_report(layer)
    system, theta = layer.system, report.angles[100, 0]
    exponent = system.eigenvalues[0] * system.step[0]
    factor = torch.expm1(exponent) / system.eigenvalues[0] / (1 - torch.exp(exponent - 1j * theta))
    mirrored = (
        torch.expm1(exponent.conj()) / system.eigenvalues[0].conj() / (1 - torch.exp(exponent.conj() - 1j * theta))
    )
    C, B = system.output[0], system.input[0]
    G = (C * factor) @ B + (C.conj() * mirrored) @ B.conj()
    assert report.gains[LAYER][100, 0] == pytest.approx((G.abs() ** 2).sum().item() ** 0.5 / 3**0.5, rel=1e-5)


def test_it_prints_a_table_and_draws_a_figure(tmp_path):
    report = robustness_report(Layer(dtype=torch.complex64))
    text = str(report)
    for word in (EXACT, NORMAL, LAYER, "worst spike", "relative to exact", "stability margin"):
        assert word in text
    report.figure().savefig(tmp_path / "robustness.png")
    left, right = report.figure().axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == [NORMAL, LAYER, EXACT]
    assert left.get_xlabel() == "radians per sample"
    assert len(right.lines) == 3


def test_a_layer_that_trains_can_be_measured_and_stays_as_it_is():
    layer = Layer()
    layer.system.output.requires_grad_()
    robustness_report(layer)
    assert layer.system.output.requires_grad
    assert layer.system.output.grad is None


def test_s4_which_is_hippo_lies_on_the_exact_curve():
    """Two ways to the same numbers: the low-rank form of the layer, and the eigenvectors of a tiny perturbation."""
    report = robustness_report(S4(3, state=32, generator=torch.Generator().manual_seed(0)))
    gains = report.gains
    # Parameters of the layer are in single precision; states of size 1 may cancel in an output.
    np.testing.assert_allclose(gains[LAYER], gains[EXACT], rtol=1e-3, atol=1e-3 * gains[EXACT].max())
    assert report.critical[LAYER] == pytest.approx(report.critical[EXACT], rel=2e-2)
    assert report.spikes[NORMAL].min() > 20


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"discretization": "bilinear"}], ids=str)
def test_s4d_and_s4_ptd_layers_tell_their_system(options):
    generator = torch.Generator().manual_seed(0)
    legs = robustness_report(S4D(4, state=32, steps=(1e-3, 3e-3), generator=generator, **options))
    ptd = robustness_report(S4PTD(4, state=32, steps=(1e-3, 3e-3), generator=generator, **options))
    assert legs.spikes[LAYER].min() > 20 > 6 > ptd.spikes[LAYER].max()


def test_an_s5_layer_tells_its_system():
    for layer in (S5(4, state=16), S5(1, state=4), S5PTD(4, state=16, blocks=2, bidirectional=True)):
        report = robustness_report(layer)
        assert report.gains.keys() == {LAYER}
        assert np.isfinite(report.gains[LAYER]).all()


def test_a_layer_without_hippo_vectors_has_a_curve_of_its_own_only():
    assert robustness_report(S4D(2, state=8, init="lin")).gains.keys() == {LAYER}


def test_the_report_follows_the_parameters_that_were_learned():
    layer = S4PTD(2, state=16)
    before = robustness_report(layer)
    with torch.no_grad():
        for parameter in layer.parameter_groups()["output"]:
            parameter *= 3
    after = robustness_report(layer)
    np.testing.assert_allclose(after.gains[LAYER], 3 * before.gains[LAYER], rtol=1e-4)
    np.testing.assert_allclose(after.gains[EXACT], 3 * before.gains[EXACT], rtol=1e-3, atol=1e-5)
