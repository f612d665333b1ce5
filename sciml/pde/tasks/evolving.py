"""What all tasks that evolve in time have in common."""

from __future__ import annotations

import numpy as np

from sciml.data.stored import StoredVariable, channel_names


class Evolving:
    """A task with ``frames`` equally spaced frames, the first at time 0 and the last at ``horizon``.

    Attributes:
        frames: Saved time steps, at least 2.
        horizon: Time of the last frame, in the unit of the task.
    """

    frames: int
    horizon: float

    @property
    def variables(self) -> tuple[StoredVariable, ...]:
        """What the file holds."""
        raise NotImplementedError

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the stored channels."""
        return channel_names(self.variables)

    @property
    def times(self) -> np.ndarray:
        """Times of the saved frames, in the unit of ``horizon``, shape (frames,)."""
        return np.linspace(0, self.horizon, self.frames)
