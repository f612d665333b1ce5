"""The published Poseidon tasks: which variable holds which field, with what statistics, time scale and splits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from sciml.data.spec import Boundary, FieldSpec

Grid = tuple[Float[np.ndarray, " x"], Float[np.ndarray, " y"]]


@dataclass(frozen=True)
class StoredField:
    """A field of a published task and where it comes from.

    Args:
        spec: The field, with its published statistics.
        variable: Dataset that holds it; empty for a field that the file does not hold.
        position: Index along the channel axis.
        value: Value of a field that the file does not hold, or a function that gives it from the grid and the file's
            attributes.
        shift: Subtracted from the stored values of the published files (their mean pressure).
    """

    spec: FieldSpec
    variable: str = ""
    position: int = 0
    value: float | Callable[[Grid, Mapping[str, Any]], np.ndarray] = 0.0
    shift: float = 0.0


@dataclass(frozen=True)
class PublishedTask:
    """One published task.

    Args:
        fields: Its channels in the order in which the published models see them.
        time_scale: Number of published steps that count as lead time 1.
        horizon: Physical time of the last published step; None where it is not published in the file's unit.
        validation: Trajectories set aside for validation, before the test set.
        test: Trajectories set aside for testing, at the end.
        boundary: Boundary condition on all sides.
        domain: Lower and upper end of both axes.
        inputs: What a model sees, where that is not all fields.
        targets: What a model predicts, where that is not all fields.
        steady: Whether the problem has no time.
        transposed: Whether x and y are stored in the other order.
        solid: Field that is 1 inside a body, if there is one.
    """

    fields: tuple[StoredField, ...]
    time_scale: float = 20.0
    horizon: float | None = 1.0
    validation: int = 120
    test: int = 240
    boundary: Boundary = "periodic"
    domain: tuple[float, float] = (0.0, 1.0)
    inputs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    steady: bool = False
    transposed: bool = False
    solid: str = ""


def _kolmogorov_forcing(grid: Grid, attributes: Mapping[str, Any]) -> np.ndarray:
    amplitude = json.loads(attributes.get("parameters", "{}")).get("forcing", 0.1)  # a replica may have another one
    x, y = grid
    return (amplitude * np.sin(2 * np.pi * (x[:, None] + y[None]))).astype(np.float32)


def _stored(name: str, variable: str, position: int, mean: float, std: float, *, group: str = "", shift: float = 0.0):
    return StoredField(FieldSpec(name, group, mean=mean, std=std), variable, position, shift=shift)


def _incompressible(variable: str, *, velocity: tuple[float, float, float, float] = (0.0, 0.391, 0.0, 0.356)):
    """Density 1 and pressure 0 are made up, so that one model serves compressible and incompressible flow."""
    mean_u, std_u, mean_v, std_v = velocity
    return (
        StoredField(FieldSpec("rho", mean=0.80, std=0.31, observed=False), value=1.0),
        _stored("u", variable, 0, mean_u, std_u, group="velocity"),
        _stored("v", variable, 1, mean_v, std_v, group="velocity"),
        StoredField(FieldSpec("p", mean=0.0, std=0.185, observed=False, masked=True), value=0.0),
    )


def _compressible(variable: str, mean: tuple[float, ...], std: tuple[float, ...], *, shift: float = 0.0):
    return (
        _stored("rho", variable, 0, mean[0], std[0]),
        _stored("u", variable, 1, mean[1], std[1], group="velocity"),
        _stored("v", variable, 2, mean[2], std[2], group="velocity"),
        _stored("p", variable, 3, mean[3], std[3], shift=shift),
    )


def _euler(mean_pressure: float) -> PublishedTask:
    return PublishedTask(_compressible("data", (0.80, 0.0, 0.0, 0.0), (0.31, 0.391, 0.356, 0.185), shift=mean_pressure))


def _wave(u: tuple[float, float], c: tuple[float, float], *, time_scale: float) -> PublishedTask:
    fields = (_stored("u", "solution", 0, *u), _stored("c", "c", 0, *c))
    return PublishedTask(fields, time_scale=time_scale, horizon=None, validation=60, boundary="open")


_FLUID = ("rho", "u", "v", "p")
_NAVIER_STOKES = PublishedTask(
    (*_incompressible("velocity"), _stored("tracer", "velocity", 2, 0.19586183, 0.37)), inputs=_FLUID, targets=_FLUID
)

TASKS: dict[str, PublishedTask] = {
    **dict.fromkeys(("NS-Sines", "NS-Gauss", "NS-BB", "NS-PwC", "NS-SVS"), _NAVIER_STOKES),
    "NS-SL": replace(_NAVIER_STOKES, transposed=True),
    "NS-Tracer-PwC": replace(_NAVIER_STOKES, inputs=(*_FLUID, "tracer"), targets=(*_FLUID, "tracer")),
    "FNS-KF": PublishedTask(
        (
            *_incompressible("solution", velocity=(-2.2424793e-13, 0.22017328, 4.1510376e-12, 0.22078253)),
            StoredField(
                FieldSpec("g", mean=-1.2996679288335145e-09, std=0.0707106739282608, observed=False),
                value=_kolmogorov_forcing,
            ),
        )
    ),
    "CE-Gauss": _euler(2.513),
    "CE-KH": _euler(1.0),
    "CE-RP": _euler(0.215),
    "CE-CRP": _euler(0.553),
    "CE-RPUI": _euler(1.33),
    "CE-RM": PublishedTask(
        _compressible(
            "solution",
            (1.1964245, -7.164812e-06, 2.8968952e-06, 1.5648036),
            (0.5543239, 0.24304213, 0.2430597, 0.89639103),
        ),
        horizon=2.0,
        validation=100,
        test=130,
    ),
    "GCE-RT": PublishedTask(
        (
            *_compressible(
                "solution",
                (0.8970493, 4.0316996e-13, -1.3858967e-13, 0.7133829),
                (0.12857835, 0.014896976, 0.014896975, 0.21293919),
            ),
            _stored("phi", "solution", 5, -1.7055787, 0.40131348),
        ),
        time_scale=10.0,
        horizon=5.0,
        validation=100,
        test=130,
        boundary="open",
        domain=(-0.5, 0.5),
    ),
    "Wave-Layer": _wave(
        (0.03467443221585092, 0.10442421752963911), (3498.5644380917424, 647.843958567462), time_scale=20.0
    ),
    "Wave-Gauss": _wave((0.0334376316, 0.1171879068), (2618.4593933, 601.51658913), time_scale=15.0),
    "ACE": PublishedTask(
        (_stored("u", "solution", 0, 0.002484262, 0.65351176),), time_scale=19.0, horizon=2e-4, validation=60
    ),
    "SE-AF": PublishedTask(
        (_stored("shape", "solution", 0, 0.0, 1.0), _stored("rho", "solution", 1, 0.92984116, 0.10864315)),
        boundary="open",
        domain=(-0.75, 1.75),
        inputs=("shape",),
        targets=("rho",),
        steady=True,
        solid="shape",
    ),
    "Poisson-Gauss": PublishedTask(
        (
            _stored("source", "source", 0, 0.014822142414492256, 4.755138816607612),
            _stored("solution", "solution", 0, 0.0005603458434937093, 0.02401226126952699),
        ),
        boundary="wall",
        inputs=("source",),
        targets=("solution",),
        steady=True,
    ),
    "Helmholtz": PublishedTask(
        (
            _stored("a", "a", 0, 0.0, 1.0, shift=1.0),
            _stored("bc", "bc", 0, 0.0, 1.0),
            _stored("u", "solution", 0, 0.11523915668552, 0.8279975746),
        ),
        validation=128,
        test=512,
        boundary="wall",
        inputs=("a", "bc"),
        targets=("u",),
        steady=True,
    ),
}

# What the variables of a file say where its task is not known: a published task of the same kind.
KINDS: dict[frozenset[str], str] = {
    frozenset({"velocity"}): "NS-Sines",
    frozenset({"data"}): "CE-RP",
    frozenset({"solution", "c"}): "Wave-Layer",
    frozenset({"source", "solution"}): "Poisson-Gauss",
}

# Two tasks that share one file.
SAME_FILE = {"NS-Tracer-PwC": "NS-PwC"}
