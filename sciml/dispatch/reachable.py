"""Targets for the volumes that a stage can always meet, made from shares between 0 and 1."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sciml.dispatch.case import HydrothermalCase

Volume = Float[Tensor, "batch plant"]

_TINY = 1e-12  # hm3; below: no water
_EDGE = 0.01  # part of the sigmoid beyond either end: both ends are attained at |logit| = log(1 / _EDGE - 1) = 4.6


@dataclass(frozen=True)
class Reservoirs:
    """What a rule knows of a case: its reservoirs and how water runs between them.

    Attributes:
        names: (plant,).
        volume_per_flow: K, hm3 that 1 m3/s brings in a stage.
        volume_min, volume_max, initial_volume: (plant,), hm3.
        flow_min, flow_max: (plant,), hard limits of the turbined flow, m3/s.
        turbine_links, spill_links: Pairs (upstream, downstream).
    """

    names: tuple[str, ...]
    volume_per_flow: float
    volume_min: tuple[float, ...]
    volume_max: tuple[float, ...]
    initial_volume: tuple[float, ...]
    flow_min: tuple[float, ...]
    flow_max: tuple[float, ...]
    turbine_links: tuple[tuple[int, int], ...]
    spill_links: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, case: HydrothermalCase) -> Reservoirs:
        """Those of a case; a minimum flow that may be missed at a cost is no limit here."""
        plants = case.plants
        hard = np.where(plants.outflow_violation_cost > 0, 0.0, plants.turbine_min)
        columns = (plants.volume_min, plants.volume_max, plants.initial_volume, hard, case.turbine_limit)
        return cls(
            tuple(plants.names),
            float(case.volume_per_flow),
            *(tuple(float(x) for x in column) for column in columns),
            turbine_links=tuple((int(u), int(d)) for u, d in plants.turbine_links),
            spill_links=tuple((int(u), int(d)) for u, d in plants.spill_links),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reservoirs:
        """Read what ``to_dict`` gave, also after it was JSON."""
        links = {key: tuple((int(u), int(d)) for u, d in values[key]) for key in ("turbine_links", "spill_links")}
        plain = {key: tuple(value) if isinstance(value, (list, tuple)) else value for key, value in values.items()}
        return cls(**{**plain, **links})

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def share(logits: Tensor) -> Tensor:
    r"""Shares in [0, 1], both ends included: min(max((sigma(z) - e) / (1 - 2 e), 0), 1) with e = 0.01.

    Where the share is held at an end, the gradient is the one without the hold if a step against it leads back inside,
    and 0 otherwise (a projected gradient): rules leave an end again, and are not pushed on beyond it.

    Args:
        logits: Of any shape.
    """
    return _Share.apply(logits)  # type: ignore[return-value]


class _Share(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        sigmoid = torch.sigmoid(logits)
        stretched = (sigmoid - _EDGE) / (1 - 2 * _EDGE)
        held = stretched.clamp(0, 1)
        ctx.save_for_backward(sigmoid, stretched - held)
        return held

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        [sigmoid, beyond], [gradient] = ctx.saved_tensors, gradients
        slope = (sigmoid - sigmoid * sigmoid) / (1 - 2 * _EDGE)
        return (gradient * slope).masked_fill_(gradient * beyond < 0, 0)


class ReachableTargets(nn.Module):
    r"""Maps shares to volumes that the plants can end a stage with, whatever the shares are.

    With the release R_h = v_h + K w_h + incoming_h - x_h of a plant that ends the stage with the volume x_h,

        x_h = l_h + f_h (u_h - l_h),    l_h = min,    u_h = min(max, v_h + K w_h + incoming_h - m_h),

    where m_h is the least that the plant must release. Upstream plants come first: what they release is what comes in.
    How a release is split follows a plan that is possible in every stage, so that the program, which may split
    otherwise, has a solution: turbines first, spill the rest; or spill first where only spilled water goes on to other
    plants. The plan brings as much water downstream as can be (of a plant with both kinds of links to different plants:
    by its turbines). All bounds depend on volume and inflow, and so do their gradients.

    Without minimum flows every share can be met from every volume within the limits, and the volume it leads to is
    within the limits again: all stages are feasible. A hard minimum flow takes m_h = K flow_min, and asks upstream
    plants for the water that h lacks, shared in proportion to what they can release: this finds a target whenever the
    plan has one. What it cannot promise: a stage in which all water of the cascade is too little for the minimum flow,
    which dry inflows after an emptied reservoir can bring about; then a target below the minimum volume is returned,
    and the program says which plant is infeasible. Nor does it know the network: where a minimum flow, or a target
    below a link of turbined water alone, needs more generation than load and lines can take, the program is infeasible.

    Args:
        reservoirs: The plants.

    Reference:
        Strict targets of TS-DDR; arXiv:2405.14973 has the penalised ones.
    """

    floor: Tensor
    ceiling: Tensor
    least: Tensor
    planned: Tensor
    by_release: Tensor
    by_turbine: Tensor
    both_linked: Tensor
    turbine_linked: Tensor
    spill_linked: Tensor

    def __init__(self, reservoirs: Reservoirs):
        super().__init__()
        r = reservoirs
        turbine, spill = (_matrix(links, len(r.names)) for links in (r.turbine_links, r.spill_links))
        least, most = (r.volume_per_flow * np.array(flow) for flow in (r.flow_min, r.flow_max))
        spill_first = spill.any(1) & ~turbine.any(1)
        self._sweeps = _depth(turbine + spill)
        self._splits = bool((turbine != spill).any())  # turbined and spilled water go different ways
        self._has_least = bool(least.any())
        self._has_floor = self._has_least or any(r.volume_min)
        self._constant("floor", r.volume_min)
        self._constant("ceiling", r.volume_max)
        self._constant("least", least)  # turbined, hm3
        self._constant("planned", np.where(spill_first, least, most))  # turbined at most, hm3
        # incoming = release @ by_release + turbined @ by_turbine; matrices are (upstream, downstream)
        self._constant("by_release", spill)
        self._constant("by_turbine", turbine - spill)
        self._constant("both_linked", turbine * spill)
        self._constant("turbine_linked", turbine * (1 - spill))
        self._constant("spill_linked", spill * (1 - turbine))

    def forward(self, shares: Volume, volume: Volume, inflow: Volume) -> Volume:
        """Targets for the end of a stage.

        Args:
            shares: In [0, 1], 1: as full as can be, shape (batch, plant).
            volume: At the start, hm3, within the limits, shape (batch, plant).
            inflow: K w, hm3, nonnegative, shape (batch, plant).

        Returns:
            Volumes at the end, hm3, shape (batch, plant).
        """
        own = total = volume + inflow
        least = self._least_release(own) if self._has_least else None
        target = self._between(shares, total, least)
        for _ in range(self._sweeps):  # each is right one level further downstream
            total = own + self._incoming(total - target)
            target = self._between(shares, total, least)
        return target

    def _between(self, shares: Volume, total: Volume, least: Volume | None) -> Volume:
        upper = torch.minimum(self.ceiling, total if least is None else total - least)
        if not self._has_floor:
            return shares * upper
        return torch.lerp(torch.minimum(self.floor, upper), upper, shares)

    def _incoming(self, release: Volume) -> Volume:
        """Water that the plan brings to the plants, hm3."""
        if not self._splits:
            return release @ self.by_release
        turbined = torch.minimum(release, self.planned) @ self.by_turbine
        return torch.addmm(turbined, release, self.by_release)

    def _least_release(self, own: Volume) -> Volume:
        """What each plant must release so that it and all plants downstream keep their minimum flow."""
        stored = available = own - self.floor
        for _ in range(self._sweeps):
            available = stored + self._incoming(available)
        turbined = torch.minimum(available, self.planned)
        incoming = self._incoming(available).clamp_min(_TINY)
        least = self.least.expand_as(own)
        for _ in range(self._sweeps):  # each is right one level further upstream
            wanted = ((least - stored).clamp_min(0) / incoming).clamp_max(1)  # part of what can come
            by_turbine, by_spill, by_both = (
                (wanted[:, None] * linked).amax(2)
                for linked in (self.turbine_linked, self.spill_linked, self.both_linked)
            )
            spilled = torch.where(by_spill > 0, turbined + by_spill * (available - turbined), 0.0)
            asked = torch.maximum(by_turbine * turbined, by_both * available)
            least = torch.maximum(torch.maximum(self.least, asked), spilled)
        return least

    def _constant(self, name: str, value: Any) -> None:
        # Not saved: all of them follow from the reservoirs.
        self.register_buffer(name, torch.tensor(np.asarray(value, dtype=float)), persistent=False)


def _matrix(links: tuple[tuple[int, int], ...], plants: int) -> np.ndarray:
    """1 where water of the row's plant runs to the column's."""
    matrix = np.zeros((plants, plants))
    for up, down in links:
        matrix[up, down] = 1
    return matrix


def _depth(linked: np.ndarray) -> int:
    """Links of the longest cascade."""
    depth, reached = 0, linked
    while reached.any():
        depth, reached = depth + 1, reached @ linked
    return depth
