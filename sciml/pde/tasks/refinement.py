"""How much finer than the saved grid a task solves."""

from __future__ import annotations

from sciml.errors import ConfigError


def refinement(resolution: int, solver_resolution: int | None, *, usual: int, least: int) -> int:
    """Intervals of the solver's grid for each interval of the saved one.

    Args:
        resolution: Saved points along each axis.
        solver_resolution: A multiple of it, or None.
        usual: The multiple if None.
        least: The smallest solver's resolution that makes sense.

    Raises:
        ConfigError: it is not a multiple, or too small.
    """
    finer = usual * resolution if solver_resolution is None else solver_resolution
    if resolution < 2 or finer % resolution or finer < max(least, resolution):
        raise ConfigError(
            f"resolution {resolution} with solver_resolution={solver_resolution} cannot be; give a multiple of the "
            f"resolution of at least {least} for the solver."
        )
    return finer // resolution
