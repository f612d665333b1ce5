"""State-space models against numbers computed by the authors' codes and by closed forms: one section a kind of case."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml.ssm.hippo import hippo_legs, legs_low_rank, normal_plus_low_rank
from sciml.ssm.ptd import perturb_then_diagonalize
from sciml.ssm.s4 import S4
from sciml.ssm.s4d import S4D
from sciml.ssm.s5 import S5
from sciml.ssm.systems import initial_system
from sciml.ssm.transfer import critical_frequencies, legs_phi, legs_response, transfer_function

FIXTURES = Path(os.environ.get("SCIML_FIXTURES", Path(__file__).parents[1] / "fixtures"))
KINDS = ("hippo_legs", "tf_legs", "s4d", "s4_dplr", "s5")


def paths_of(kind):
    return sorted(FIXTURES.glob(f"ssm/{kind}_*.npz"))


def cases(kind):
    """Run a test on every case of this kind, as a dict of tensors (numbers and words as they are)."""
    return pytest.mark.parametrize("case", paths_of(kind), ids=lambda path: path.stem, indirect=True)


@pytest.fixture
def case(request):
    with np.load(request.param) as data:
        return {k: torch.from_numpy(v) if v.ndim else v.item() for k, v in data.items()}


def assert_relatively_close(found, expected, tolerance):
    """Largest difference against the largest value."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_cases(kind):
    assert paths_of(kind), f"no ssm/{kind}_*.npz under {FIXTURES}"


def test_every_case_is_of_a_kind_that_is_tested():
    known = {path for kind in KINDS for path in paths_of(kind)}
    assert set(FIXTURES.glob("ssm/*.npz")) == known


# ---------------------------------------------------------------- HiPPO-LegS


@cases("hippo_legs")
def test_hippo_legs_and_its_normal_plus_low_rank_form(case):
    A, B = hippo_legs(len(case["B"]))
    normal = normal_plus_low_rank(len(B))
    assert_relatively_close(A, case["A"], 1e-15)
    assert_relatively_close(B, case["B"], 1e-15)
    assert_relatively_close(legs_low_rank(len(B)), case["P"], 1e-15)
    # The reference keeps the conjugates of ours, in the opposite order; eigh rounds in units of the largest eigenvalue.
    assert_relatively_close(normal.eigenvalues.conj().flip(0), case["nplr_w"], 1e-12)
    # The phase of an eigenvector is free, these products do not depend on it.
    assert_relatively_close((normal.low_rank.conj() * normal.input).conj().flip(0), case["pb"], 1e-11)
    assert_relatively_close(normal.low_rank.abs().flip(0) ** 2, case["p_abs2"], 1e-11)


# ---------------------------------------------------------------- transfer functions


@cases("tf_legs")
def test_transfer_functions_of_hippo_s4d_and_the_tau_family(case):
    state, w = case["N"], case["omega"]
    # Some recordings are in single precision, whose rounding is 6e-8.
    tolerance = 1e-9 if case["X_exact"].dtype == torch.complex128 else 1e-7
    assert_relatively_close(critical_frequencies(state), case["wk"], 1e-11)
    assert_relatively_close(legs_phi(1j * w, state), case["phi"], 1e-11)
    assert_relatively_close(legs_response(1j * w, state), case["X_exact"], tolerance)
    assert_relatively_close(transfer_function(initial_system("legs", state), w), case["X_s4d_halfB"], tolerance)
    taus = [float(key.removeprefix("X_tau")) for key in case if key.startswith("X_tau")]
    assert taus
    for tau in taus:
        system = perturb_then_diagonalize(*hippo_legs(state), tau=tau)
        assert_relatively_close(transfer_function(system, w), case[f"X_tau{tau:g}"], tolerance)
        assert system.condition == pytest.approx(case[f"cond_tau{tau:g}"], rel=1e-9)
        expected = case[f"lam_tau{tau:g}"]
        assert_relatively_close(sort_by_frequency(system.unpaired().eigenvalues), sort_by_frequency(expected), 1e-10)


def sort_by_frequency(eigenvalues):
    return eigenvalues[eigenvalues.imag.argsort()]


# ---------------------------------------------------------------- S4D


def with_parameters(layer, lam, B, C, dt, *, low_rank=None):
    """The layer in double precision with these parameters, one row a feature, and without skip."""
    layer = layer.double()
    values = {
        "eigenvalues": torch.stack([(-lam.real).log(), lam.imag], dim=-1),
        "input": torch.view_as_real(B),
        "output": torch.view_as_real(C[:, None]),
        "log_step": dt.log(),
    }
    if low_rank is not None:
        values["low_rank"] = torch.view_as_real(low_rank)
    layer.load_state_dict(values)
    return layer


def impulse(length, features):
    u = torch.zeros(1, length, features, dtype=torch.float64)
    u[:, 0] = 1
    return u


@pytest.mark.parametrize("method", ["fft", "chunked"])
@cases("s4d")
def test_s4d_kernels_outputs_and_last_states(case, method):
    settings = {"state": case["N"], "discretization": case["disc"], "method": method, "skip": False}
    u = case["u"].mT
    for channel, C in enumerate(case["C"]):  # the reference reads each state with several output vectors
        layer = with_parameters(S4D(len(case["dt"]), **settings), case["A"], case["B"], C, case["dt"])
        with torch.no_grad():
            y, state = layer(u)
            kernel, _ = layer(impulse(case["L"], u.shape[2]))
            rounded, _ = layer.float()(u.float())
        assert_relatively_close(kernel[0].T, case["kernel"][channel], 1e-9)
        assert_relatively_close(y.mT, case["y"][:, channel], 1e-9)
        assert_relatively_close(state, case["last_state"], 1e-9)
        assert_relatively_close(rounded.double().mT, case["y"][:, channel], 1e-5)


@cases("s4d")
def test_s4d_starts_from_the_eigenvalues_of_the_reference(case):
    layer = S4D(1, state=case["N"], init=case["init"].removeprefix("diag-"))
    ours = layer.continuous_system().eigenvalues[0].to(torch.complex128)
    theirs = case["A"][0]
    # Which of each conjugate pair is kept, and the order, is free; ours are float32. The reference moves a real
    # eigenvalue by 1e-4, as it keeps the logarithm of the frequency.
    frequencies = ours.imag.abs().clamp(min=1e-4).sort().values
    assert_relatively_close(frequencies, theirs.imag.abs().sort().values, 1e-6)
    assert_relatively_close(ours.real, theirs.real, 1e-6)


# ---------------------------------------------------------------- S4


@cases("s4_dplr")
def test_s4_kernels(case):
    features = len(case["dt"])
    lam, p, B = (case[name].expand(features, -1) for name in ("A", "P", "B"))
    layer = with_parameters(S4(features, state=case["N"], skip=False), lam, B, case["C"][0], case["dt"], low_rank=p)
    with torch.no_grad():
        kernel, _ = layer(impulse(case["L"], features))
        rounded, _ = layer.float()(impulse(case["L"], features).float())
    assert_relatively_close(kernel.mT, case["kernel_ref"], 1e-9)
    assert_relatively_close(kernel[0].T, case["kernel_dense64"], 1e-9)
    assert_relatively_close(rounded.double().mT, case["kernel_ref"], 1e-5)


# ---------------------------------------------------------------- S5


def s5_layer(case, dtype):
    """The layer with the recorded parameters; D, the discretisation and the rest as recorded."""
    pairs = len(case["Lambda"])
    layer = S5(
        len(case["D"]),
        state=2 * pairs if case["conj_sym"] else pairs,
        conjugate=case["conj_sym"],
        bidirectional=case["bidirectional"],
        discretization=case["discretization"],
    ).to(dtype)
    recorded = {
        "eigenvalues": torch.view_as_real(case["Lambda"]),
        "log_step": case["log_step"],
        "input": torch.view_as_real(case["B_tilde"]),
        "output": torch.view_as_real(case["C_tilde"]),
        "skip": case["D"],
    }
    layer.load_state_dict({name: tensor.to(dtype) for name, tensor in recorded.items()})
    return layer


@pytest.mark.parametrize("method", ["scan", "associative"])
@cases("s5")
def test_s5_outputs_and_gradients(case, method):
    layer = s5_layer(case, torch.float64)
    layer.method = method
    u = case["u"][None].requires_grad_()
    y, _ = layer(u)
    assert_relatively_close(y[0].detach(), case["y"], 1e-9)
    (y[0] * case["loss_weight"]).sum().backward()
    found = {"log_step": layer.log_step.grad, "D": layer.skip.grad, "u": u.grad[0]}
    for name, parameter in {"Lambda": layer.eigenvalues, "B": layer.input, "C": layer.output}.items():
        found[f"{name}_re"], found[f"{name}_im"] = parameter.grad.unbind(-1)
    for name, gradient in found.items():
        assert_relatively_close(gradient, case[f"grad_{name}"], 1e-7)


@cases("s5")
def test_s5_outputs_in_single_precision(case):
    with torch.no_grad():
        y, _ = s5_layer(case, torch.float32)(case["u"][None].float())
    assert_relatively_close(y[0].double(), case["y"], 1e-5)


@cases("s5")
def test_s5_blocks_start_from_the_eigenvectors_of_the_normal_part(case):
    """The recorded eigenvectors may be turned by a phase; what they span may not."""
    V = case["V"]
    ours = initial_system("legs", len(V)).vectors
    overlap = (torch.cat([ours, ours.conj()], dim=1).mH @ V).abs()
    # One of ours to each of theirs, to the rounding of two eigensolvers.
    torch.testing.assert_close(
        overlap.max(dim=0).values, torch.ones(V.shape[1], dtype=torch.float64), rtol=0, atol=1e-9
    )
