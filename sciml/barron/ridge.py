"""Two-layer network: a sum of ridge functions, with derivatives in closed form."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.barron.box import check_points
from sciml.barron.folder import read_network
from sciml.barron.frequencies import distinct, merge
from sciml.barron.waves import blocked
from sciml.errors import ConfigError, ShapeError
from sciml.model_folder import write_model

Points = Float[Tensor, "point dimension"]
Values = Float[Tensor, " point"]


class RidgeNet(nn.Module):
    """A two-layer network u(x) = sum_j a_j s(w_j.x + b_j); all three layers of numbers are parameters, in float64.

    Args:
        weights: Inner weights w_j, shape (unit, dimension).
        biases: Inner biases b_j, shape (unit,).
        outer: Outer weights a_j, shape (unit,).
        activation: "cos", "sin", "tanh", "relu", or a power of it such as "relu^2" or "relu^3".

    Raises:
        ShapeError: weights, biases and outer weights do not fit each other.
        ConfigError: the activation is unknown.
    """

    def __init__(
        self,
        weights: Points | Sequence[Sequence[float]],
        biases: Values | Sequence[float],
        outer: Values | Sequence[float],
        activation: str,
    ):
        super().__init__()
        weights, biases, outer = (
            torch.as_tensor(numbers, dtype=torch.float64).detach() for numbers in (weights, biases, outer)
        )
        if weights.ndim != 2 or biases.shape != weights.shape[:1] or outer.shape != biases.shape:
            raise ShapeError(
                f"weights of shape {tuple(weights.shape)}, biases of shape {tuple(biases.shape)} and outer weights of "
                f"shape {tuple(outer.shape)} came; (unit, dimension), (unit,) and (unit,) are expected."
            )
        self.activation = activation
        self._activation = _find_activation(activation)
        self.weights = nn.Parameter(weights.clone())
        self.biases = nn.Parameter(biases.clone())
        self.outer = nn.Parameter(outer.clone())

    @property
    def dimension(self) -> int:
        """Dimension of the points."""
        return self.weights.shape[1]

    def __len__(self) -> int:
        """Number of units."""
        return len(self.outer)

    def extra_repr(self) -> str:
        """What ``print`` shows of the network."""
        return f"{len(self)} units, dimension={self.dimension}, activation={self.activation!r}"

    def forward(self, x: Points) -> Values:
        """Values u(x).

        Args:
            x: Points, shape (point, dimension).

        Returns:
            Values, shape (point,), float64.
        """
        return self._sum(x, lambda block: self._activation.value(self._phase(block)) @ self.outer)

    def gradient(self, x: Points) -> Points:
        """Gradient of u at the points x, shape (point, dimension)."""
        return self._sum(x, lambda block: (self._activation.first(self._phase(block)) * self.outer) @ self.weights)

    def laplacian(self, x: Points) -> Values:
        """Laplacian of u at the points x, shape (point,).

        Raises:
            ConfigError: the activation is "relu", whose second derivative is no function.
        """
        squares = self.weights.square().sum(1)
        return self._sum(x, lambda block: self._bend(block) @ (self.outer * squares))

    def second_derivatives(self, x: Points, directions: Points) -> Values:
        """Second derivatives g.H(x) g, H being the Hessian of u.

        Args:
            x: Points, shape (point, dimension).
            directions: A direction g of any length for every point, shape (point, dimension), or one for all,
                shape (dimension,).

        Raises:
            ConfigError: the activation is "relu", whose second derivative is no function.
        """
        pairs = torch.cat([self._points(x), self._points(directions.expand_as(x))], dim=1)

        def bend(block: Tensor) -> Values:
            point, direction = block.chunk(2, dim=1)
            return (self._bend(point) * (direction @ self.weights.T) ** 2) @ self.outer

        return blocked(bend, pairs, size=len(self))

    def barron(self, order: float = 1) -> Float[Tensor, ""]:
        """Barron norm, differentiable in all parameters; an upper bound of that of the function on any domain.

        sum_j |a_j| (1 + |w_j|_2)^order for cos and sin, repeated waves being merged before; the path norm
        sum_j |a_j| (|w_j|_1 + |b_j|)^k for relu^k and, with k = 1, for tanh.

        Args:
            order: Order for cos and sin; the path norm has none.

        Raises:
            ConfigError: an order is given for a path norm.

        Reference:
            Barron, IEEE Trans. Inf. Theory 39 (1993), 930-945; arXiv:1906.08039 (path norm).
        """
        power = self._activation.path_power
        if power is None:
            weights, phasors = self._merged_waves()
            return ((1 + torch.linalg.vector_norm(weights, dim=1)) ** order * phasors.abs()).sum()
        if order != 1:
            raise ConfigError(f"order={order} came for the activation {self.activation!r}, whose path norm has none.")
        return (self.outer.abs() * (self.weights.abs().sum(1) + self.biases.abs()) ** power).sum()

    def merge(self) -> RidgeNet:
        """The same function with equal units as one: of the same +-w (cos, sin), or of the same w and b (others)."""
        if self._activation.path_power is None:
            weights, phasors = self._merged_waves()
            return RidgeNet(weights, phasors.angle() - self._shift, phasors.abs(), self.activation)
        inner = torch.cat([self.weights, self.biases[:, None]], dim=1)
        first, group = distinct(inner)
        outer = self.outer.new_zeros(len(first)).index_add(0, group, self.outer)
        return RidgeNet(inner[first, :-1], inner[first, -1], outer, self.activation)

    def refit(self, x: Points, y: Values) -> RidgeNet:
        """The same inner weights with the outer weights that fit data best in the sense of least squares.

        Args:
            x: Points, shape (point, dimension); at least as many as units, better 3 times as many.
            y: Values, shape (point,).

        Raises:
            ShapeError: there are too few points.
        """
        if len(x) < len(self):
            raise ShapeError(f"{len(x)} points came to fit {len(self)} units; at least as many points are expected.")
        with torch.no_grad():
            matrix = self._activation.value(self._phase(self._points(x)))
            outer = torch.linalg.lstsq(matrix, y.to(matrix)[:, None]).solution[:, 0]
        return RidgeNet(self.weights, self.biases, outer, self.activation)

    def save_pretrained(self, folder: str | Path, *, extra: Mapping[str, Any] | None = None) -> Path:
        """Write ``config.json`` and ``model.safetensors``, which ``sciml.load`` reads.

        Args:
            folder: Where to write; made if it does not exist.
            extra: What else a user needs to know, kept under the key ``sciml`` of ``config.json``.
        """
        config = {"architectures": ["RidgeNet"], "model_type": "barron", "activation": self.activation}
        return write_model(folder, config, self.state_dict(), extra=extra)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> RidgeNet:
        """Load what ``save_pretrained`` wrote.

        Raises:
            CheckpointError: nothing is there, or it is not a ridge network.
        """
        config, tensors = read_network(folder, "RidgeNet", {"weights", "biases", "outer"})
        return cls(**tensors, activation=config["activation"])

    @property
    def _shift(self) -> float:
        """Phase of the activation behind a cosine."""
        return -math.pi / 2 if self.activation == "sin" else 0.0

    def _merged_waves(self) -> tuple[Tensor, Tensor]:
        """Weights and complex amplitudes c of Re(c exp(i w.x)), each +-w once; for cos and sin."""
        return merge(self.weights, torch.polar(self.outer, self.biases + self._shift), None)

    def _phase(self, x: Points) -> Float[Tensor, "point unit"]:
        return x @ self.weights.T + self.biases

    def _bend(self, x: Points) -> Float[Tensor, "point unit"]:
        if self._activation.second is None:
            raise ConfigError("relu has no second derivative; take 'relu^2', 'relu^3', 'tanh' or 'cos' as activation.")
        return self._activation.second(self._phase(x))

    def _sum(self, x: Points, function: Callable[[Tensor], Tensor]) -> Tensor:
        return blocked(function, self._points(x), size=len(self))

    def _points(self, x: Points) -> Points:
        return check_points(x, self.dimension).to(self.weights.dtype)


@dataclass(frozen=True)
class _Activation:
    """An activation with its derivatives; ``path_power`` is None for waves."""

    value: Callable[[Tensor], Tensor]
    first: Callable[[Tensor], Tensor]
    second: Callable[[Tensor], Tensor] | None
    path_power: int | None


def _find_activation(name: str) -> _Activation:
    if name == "cos":
        return _Activation(torch.cos, lambda z: -torch.sin(z), lambda z: -torch.cos(z), None)
    if name == "sin":
        return _Activation(torch.sin, torch.cos, lambda z: -torch.sin(z), None)
    if name == "tanh":
        return _Activation(
            torch.tanh, lambda z: 1 - torch.tanh(z) ** 2, lambda z: 2 * torch.tanh(z) * (torch.tanh(z) ** 2 - 1), 1
        )
    match = re.fullmatch(r"relu(?:\^([1-9]))?", name)
    if match is None:
        raise ConfigError(f"activation {name!r} came; 'cos', 'sin', 'tanh', 'relu', 'relu^2' or 'relu^3' is expected.")
    k = int(match[1] or 1)
    return _Activation(
        lambda z: _relu_power(z, k),
        lambda z: k * _relu_power(z, k - 1),
        (lambda z: k * (k - 1) * _relu_power(z, k - 2)) if k > 1 else None,
        k,
    )


def _relu_power(z: Tensor, exponent: int) -> Tensor:
    """max(z, 0)^exponent; the step function for exponent 0."""
    return (z > 0).to(z) if exponent == 0 else z.clamp(min=0) ** exponent
