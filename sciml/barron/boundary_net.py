"""Boundary network: a two-layer or deep network that satisfies the boundary conditions of a box by construction."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.barron.boundary_jet import BoundaryJet
from sciml.barron.box import Boundary, boundary_name, check_box, check_points, sine_axes
from sciml.barron.folder import read_network
from sciml.barron.jet import AutogradJet, Jet
from sciml.barron.waves import blocked
from sciml.errors import ConfigError, ShapeError
from sciml.model_folder import read_model, write_model

Points = Float[Tensor, "point dimension"]
Values = Float[Tensor, " point"]
Matrix = Float[Tensor, "unit input"]

ACTIVATIONS = {"cos": torch.cos, "tanh": torch.tanh}


class BoundaryNet(nn.Module):
    """A network u(x) = g(x) sum_j a_j phi_j(z(x)) with the boundary values of a problem, whatever its weights are.

    Dirichlet axes: z_i = 2 x_i / L_i - 1, and the factor sqrt(2) sin(pi x_i / L_i) of g, so that |g| has mean square 1.
    Neumann axes: z_i = cos(pi x_i / L_i), an even function. Periodic: z has cos and sin of 2 pi x_i / L_i.

    phi is one hidden layer s(W z + b), or several. All numbers are parameters, in float64.

    Args:
        weights: Matrix of every hidden layer, shape (unit, input).
        biases: Vector of every hidden layer, shape (unit,).
        outer: Outer weights a_j, shape (unit,).
        activation: "cos" for one hidden layer, "tanh" for any number.
        boundary: "periodic", "neumann", "dirichlet", or one of the latter two for every axis.
        dimension: Number of coordinates.
        box: Sides of the box; None for the unit cube.

    Raises:
        ShapeError: the layers do not fit each other or the dimension.
        ConfigError: the activation or boundary is unknown, or there are several layers of cosines.
    """

    sides: Tensor
    _is_sine: Tensor

    def __init__(
        self,
        weights: Sequence[Matrix] | nn.ParameterList,
        biases: Sequence[Tensor] | nn.ParameterList,
        outer: Tensor,
        activation: str,
        *,
        boundary: Boundary | Sequence[str],
        dimension: int,
        box: Sequence[float] | None = None,
    ):
        super().__init__()
        self.dimension, self.activation = dimension, activation
        self.box = check_box(box, dimension)
        sine = sine_axes(boundary, dimension)
        self.boundary: Boundary = boundary_name(sine)
        if activation not in ACTIVATIONS:
            raise ConfigError(f"activation {activation!r} came; 'cos' or 'tanh' is expected.")
        if activation == "cos" and len(weights) > 1:
            raise ConfigError(f"{len(weights)} hidden layers of cosines came; one is expected. Take 'tanh' for more.")
        inputs = [_inputs(boundary, dimension), *(len(bias) for bias in biases)]
        shapes = [(len(bias), width) for bias, width in zip(biases, inputs[:-1], strict=True)]
        if [tuple(weight.shape) for weight in weights] != shapes or tuple(outer.shape) != (inputs[-1],):
            raise ShapeError(
                f"hidden layers of shapes {[tuple(weight.shape) for weight in weights]} and outer weights of shape "
                f"{tuple(outer.shape)} came; {shapes} and {(inputs[-1],)} are expected, after their biases."
            )
        self.weights, self.biases = (
            nn.ParameterList([nn.Parameter(layer.detach().double().clone()) for layer in layers])
            for layers in (weights, biases)
        )
        self.outer = nn.Parameter(outer.detach().double().clone())
        device = outer.device
        self.register_buffer("sides", torch.tensor(self.box, dtype=torch.float64, device=device), persistent=False)
        none = torch.zeros(dimension, dtype=torch.bool) if sine is None else sine
        self.register_buffer("_is_sine", none.to(device), persistent=False)
        self._sines = bool(none.any())

    @classmethod
    def random(
        cls,
        dimension: int,
        *,
        boundary: Boundary | Sequence[str],
        generator: torch.Generator,
        box: Sequence[float] | None = None,
        hidden: Sequence[int] = (64,),
        activation: str = "tanh",
        scale: float = 3.0,
    ) -> BoundaryNet:
        """A network with random hidden layers and outer weights 0.

        Args:
            dimension: Number of coordinates.
            boundary: As above.
            generator: Source of the weights.
            box: As above.
            hidden: Number of units of every hidden layer.
            activation: As above.
            scale: Root mean square of |w_j| in the first layer. Good values: 2 to 10; the larger, the finer the
                detail that many units can resolve, and the more of them are needed.
        """
        widths = [_inputs(boundary, dimension), *hidden]
        weights, biases = [], []
        for layer, (before, after) in enumerate(itertools.pairwise(widths)):
            normal = torch.randn(after, before, generator=generator, dtype=torch.float64)
            uniform = torch.rand(after, before, generator=generator, dtype=torch.float64)
            weights.append(normal * (scale if layer == 0 else 1.0) / math.sqrt(before))
            if activation == "cos":
                biases.append(2 * math.pi * uniform[:, 0])
            else:  # the unit changes its sign at a random point of the cube of its inputs
                biases.append(-(weights[-1] * (2 * uniform - 1)).sum(1))
        outer = torch.zeros(widths[-1], dtype=torch.float64)
        return cls(weights, biases, outer, activation, boundary=boundary, dimension=dimension, box=box)

    def __len__(self) -> int:
        """Number of units of the last hidden layer."""
        return len(self.outer)

    def extra_repr(self) -> str:
        """What ``print`` shows of the network."""
        hidden = tuple(len(bias) for bias in self.biases)
        return (
            f"hidden={hidden}, dimension={self.dimension}, activation={self.activation!r}, boundary={self.boundary!r}"
        )

    def forward(self, x: Points) -> Values:
        """Values u(x).

        Args:
            x: Points of the box, shape (point, dimension).

        Returns:
            Values, shape (point,), float64.
        """
        return blocked(lambda block: self.features(block) @ self.outer, check_points(x, self.dimension), size=len(self))

    def features(self, x: Points) -> Float[Tensor, "point unit"]:
        """The functions g(x) phi_j(z(x)) that the outer weights multiply, shape (point, unit)."""
        z = self.inputs(x)[0]
        for weight, bias in zip(self.weights, self.biases, strict=True):
            z = ACTIVATIONS[self.activation](z @ weight.T + bias)
        return z * self.factors(x)[0].prod(1, keepdim=True) if self._sines else z

    def inputs(self, x: Points) -> tuple[Tensor, Tensor, Tensor]:
        """The inputs z of the first layer with their first two derivatives in their coordinate.

        Each has the shape (point, input); input n is a function of coordinate n mod dimension.
        """
        unit, scale = x.to(self.outer.dtype) / self.sides, math.pi / self.sides
        if self.boundary == "periodic":
            cos, sin = torch.cos(2 * math.pi * unit), torch.sin(2 * math.pi * unit)
            z, quarter = torch.cat([cos, sin], dim=1), torch.cat([-sin, cos], dim=1)
            wave = 2 * scale.repeat(2)
            return z, wave * quarter, -(wave**2) * z
        cos, sin, sine = torch.cos(math.pi * unit), torch.sin(math.pi * unit), self._is_sine
        slope = torch.where(sine, 2 / self.sides, -scale * sin)
        return torch.where(sine, 2 * unit - 1, cos), slope, torch.where(sine, 0, -(scale**2) * cos)

    def factors(self, x: Points) -> tuple[Tensor, Tensor, Tensor]:
        """Factor of g of every coordinate with its first two derivatives, each of shape (point, dimension)."""
        unit, scale = x.to(self.outer.dtype) / self.sides, math.pi / self.sides
        wave, slope = math.sqrt(2) * torch.sin(math.pi * unit), math.sqrt(2) * torch.cos(math.pi * unit)
        sine = self._is_sine
        return torch.where(sine, wave, 1), torch.where(sine, scale * slope, 0), torch.where(sine, -(scale**2) * wave, 0)

    def jet(self, x: Points) -> Jet:
        """Values and derivatives at points, shape (point, dimension): closed forms, or autograd for several layers."""
        return BoundaryJet(x, self) if len(self.weights) == 1 else AutogradJet(x, self)

    def barron(self) -> Float[Tensor, ""]:
        """Barron norm of sum_j a_j phi_j as a function of z, differentiable in all parameters; an upper bound.

        sum_j |a_j| (1 + |w_j|_2) for cosines. For tanh the path norm |a|.(|W_n| ... (|W_1| 1 + |b_1|) ... + |b_n|),
        which for one hidden layer is sum_j |a_j| (|w_j|_1 + |b_j|).

        Reference:
            Barron, IEEE Trans. Inf. Theory 39 (1993), 930-945; arXiv:1906.08039 (path norm).
        """
        if self.activation == "cos":
            return self.outer.abs() @ (1 + torch.linalg.vector_norm(self.weights[0], dim=1))
        reach = torch.ones_like(self.weights[0][0])
        for weight, bias in zip(self.weights, self.biases, strict=True):
            reach = weight.abs() @ reach + bias.abs()
        return self.outer.abs() @ reach

    def with_unit(self, other: BoundaryNet, index: int) -> BoundaryNet:
        """The two-layer network that has one more unit, of another network, with the outer weight 0."""
        weight = torch.cat([self.weights[0], other.weights[0][index, None]])
        bias = torch.cat([self.biases[0], other.biases[0][index, None]])
        outer = torch.cat([self.outer, self.outer.new_zeros(1)])
        place = {"boundary": self.boundary, "dimension": self.dimension, "box": self.box}
        return BoundaryNet([weight], [bias], outer, self.activation, **place)

    def save_pretrained(self, folder: str | Path, *, extra: Mapping[str, Any] | None = None) -> Path:
        """Write ``config.json`` and ``model.safetensors``.

        Args:
            folder: Where to write; made if it does not exist.
            extra: What else a user needs to know, kept under the key ``sciml`` of ``config.json``.
        """
        config = {
            "architectures": ["BoundaryNet"],
            "model_type": "barron",
            "activation": self.activation,
            "hidden_layers": len(self.weights),
            "boundary": self.boundary if isinstance(self.boundary, str) else list(self.boundary),
            "box": list(self.box),
        }
        return write_model(folder, config, self.state_dict(), extra=extra)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> BoundaryNet:
        """Load what ``save_pretrained`` wrote.

        Raises:
            CheckpointError: nothing is there, or it is not a boundary network.
        """
        layers = range(read_model(folder)[0].get("hidden_layers", 0))
        names = {"outer", *(f"{part}.{layer}" for part in ("weights", "biases") for layer in layers)}
        config, tensors = read_network(folder, "BoundaryNet", names)
        return cls(
            [tensors[f"weights.{layer}"] for layer in layers],
            [tensors[f"biases.{layer}"] for layer in layers],
            tensors["outer"],
            config["activation"],
            boundary=config["boundary"],
            dimension=len(config["box"]),
            box=config["box"],
        )


def _inputs(boundary: Boundary | Sequence[str], dimension: int) -> int:
    """Number of inputs of the first layer."""
    return 2 * dimension if boundary == "periodic" else dimension
