"""Steady transonic flow past random airfoils: SE-AF.

The published description of the data leaves some points open. Each of them is a parameter here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from sciml.data.stored import StoredVariable, channel_names
from sciml.errors import ConfigError, SolverError
from sciml.pde import initial
from sciml.pde.airfoil import steady_flow
from sciml.pde.airfoil_level import FreeStream
from sciml.pde.airfoil_mesh import ConformalMap, conformal_map
from sciml.pde.airfoil_shape import Contour, hicks_henne

BOX = (-0.75, 1.75)
"""Where the fields are stored, along both axes, in chords; the airfoil lies between (0, 0) and (1, 0)."""
_THINNEST = 0.02
"""Of the distance between the surfaces, as a multiple of sqrt(x) (1 - x); 0.154 at the nose of the RAE 2822."""
_DRAWS = 100


@dataclass(frozen=True, kw_only=True)
class Airfoil:
    """SE-AF: steady inviscid flow past RAE 2822 airfoils with random bumps.

    Args:
        mach: Mach number of the free stream. Published: 0.729.
        angle: Angle of attack, degrees. Published: 2.31.
        bumps: Hicks-Henne bumps on each surface. Published: 15.
        amplitude: Bump i = 1..n has a height amplitude (i + 1) U[-1, 1] on the upper surface, amplitude (n + 1 - i)
            U[-1, 1] on the lower one, in chords. Not published; 1e-3 is in use for 10 bumps.
        around: Cells around the airfoil, even. Published: 243.
        outwards: Cells from the wall to the far field, even. Published: 43.
        radius: Distance of the far field, in chords.
        tolerance: Net mass flow out of a cell, relative to what waves carry, at which the flow counts as steady. Good
            values: 2e-6 to 1e-5.
        cycles: Most multigrid cycles. About 110 are needed.
        cfl: Cells that waves cross in a step. Good values: 0.5 to 1.1.
    """

    name: ClassVar[str] = "SE-AF"
    equation: ClassVar[str] = "div(rho u) = 0,  div(rho u x u) + grad p = 0,  div((E + p) u) = 0,  u . n = 0 on walls"
    initial_data: ClassVar[str] = "RAE 2822 airfoil with 15 bumps on each surface"
    solver: ClassVar[str] = "finite volumes on a conformal O-mesh, HLLC, limited third-order reconstruction, multigrid"
    boundary: ClassVar[tuple[str, str]] = ("open", "open")
    transposed: ClassVar[bool] = False
    steady: ClassVar[bool] = True

    mach: float = 0.729
    angle: float = 2.31
    bumps: int = 15
    amplitude: float = 1e-3
    around: int = 240
    outwards: int = 40
    radius: float = 25.0
    tolerance: float = 3e-6
    cycles: int = 400
    cfl: float = 1.0

    def __post_init__(self):
        if self.bumps < 1 or not self.amplitude >= 0:
            raise ConfigError(
                f"{self.name} got bumps={self.bumps}, amplitude={self.amplitude}; it needs at least 1 bump and an "
                "amplitude of at least 0."
            )

    @property
    def variables(self) -> tuple[StoredVariable, ...]:
        """What the file holds."""
        return (StoredVariable("solution", ("indicator", "rho"), in_time=False),)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the stored channels: indicator, which is 1 inside the airfoil, and density, set to 1 there."""
        return channel_names(self.variables)

    @property
    def times(self) -> np.ndarray:
        """One frame, shape (1,)."""
        return np.zeros(1)

    def coordinates(self, resolution: int) -> dict[str, np.ndarray]:
        """Coordinate arrays x and y in chords, both ends of the box included, shape (resolution,)."""
        if resolution < 2:
            raise ConfigError(f"resolution is {resolution}; {self.name} needs at least 2 points along each axis.")
        return {axis: np.linspace(*BOX, resolution) for axis in ("x", "y")}

    def contour(self, trajectory: int, *, seed: int) -> Contour:
        """The airfoil of one trajectory; it depends on nothing but these two numbers and the parameters.

        Shapes whose surfaces meet, or that cannot be meshed (1 in 300), are drawn again.
        """
        generator = initial.generator_for(seed, trajectory)
        i = np.arange(1, self.bumps + 1)
        for _ in range(_DRAWS):
            upper, lower = initial.uniform(-1, 1, 2, self.bumps, generator=generator).numpy() * self.amplitude
            contour = hicks_henne(upper * (i + 1), lower * (self.bumps + 1 - i))
            if contour.thinnest() > _THINNEST and _mapped(contour) is not None:
                return contour
        raise ConfigError(
            f"{self.name}: none of {_DRAWS} airfoils of trajectory {trajectory} has a thickness everywhere. "
            f"Take a smaller amplitude (now {self.amplitude:g})."
        )

    def simulate(
        self, trajectories: Sequence[int], *, resolution: int, seed: int, device: torch.device | str = "cpu"
    ) -> Float64[Tensor, "trajectory 1 2 x y"]:
        """Solve for a block of trajectories at once.

        Args:
            trajectories: Indices of the trajectories.
            resolution: Points of the box along each axis.
            seed: Seed of the data set.
            device: Where to compute.

        Returns:
            Indicator and density in units of that of the free stream, shape (trajectory, 1, 2, x, y).

        Raises:
            BlowUpError: the flow past an airfoil does not become steady.
        """
        contours = [self.contour(trajectory, seed=seed) for trajectory in trajectories]
        solution = steady_flow(
            contours,
            FreeStream(mach=self.mach, angle=self.angle),
            around=self.around,
            outwards=self.outwards,
            radius=self.radius,
            cfl=self.cfl,
            tolerance=self.tolerance,
            cycles=self.cycles,
            device=device,
        )
        x, y = np.meshgrid(*self.coordinates(resolution).values(), indexing="ij")
        fields = torch.ones(len(contours), 1, 2, resolution, resolution, dtype=torch.float64)
        for position, contour in enumerate(contours):
            inside = contour.contains(x, y)
            outside = torch.from_numpy(~inside)
            fields[position, 0, 0, outside] = 0
            fields[position, 0, 1, outside] = solution.sample(position, x[~inside], y[~inside])[0]
        return fields.to(device)


def _mapped(contour: Contour) -> ConformalMap | None:
    try:
        return conformal_map(contour)
    except SolverError:
        return None


TASKS = (Airfoil,)
