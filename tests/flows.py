"""A little file of flows to train on."""

import numpy as np

from sciml.data import TrajectoryWriter


def write_flows(path, *, trajectories):
    """Noise in the layout of NS-PwC: 21 steps of u and v on 8 x 8 points."""
    axis = np.arange(8) / 8
    frames = np.random.default_rng(0).standard_normal((trajectories, 21, 2, 8, 8)).astype(np.float32)
    with TrajectoryWriter(
        path,
        task="NS-PwC",
        variable="velocity",
        channels=("u", "v"),
        trajectories=trajectories,
        times=np.linspace(0, 1, 21),
        coordinates={"x": axis, "y": axis},
        boundary=("periodic", "periodic"),
    ) as writer:
        writer.write(0, frames)
    return path
