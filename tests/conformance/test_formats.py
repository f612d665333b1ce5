"""Files in published layouts: what is read is what lies in the file, for every file that the fixtures hold."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from sciml.data import open_trajectories
from sciml.data.published import TASKS

FIXTURES = Path(os.environ.get("SCIML_FIXTURES", Path(__file__).parents[1] / "fixtures")) / "formats"
LAYOUTS = ("poseidon",)
CASES = [path for layout in LAYOUTS for path in sorted((FIXTURES / layout).glob("*.nc"))]
cases = pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_there_are_cases(layout):
    assert list((FIXTURES / layout).glob("*.nc")), f"no case in {FIXTURES / layout}"


@cases
def test_the_shapes_are_those_that_were_recorded(path):
    recorded = json.loads((FIXTURES / "conformance.json").read_text())[f"{path.parent.name} {path.name}"]
    shape = max(recorded.values(), key=len)
    with open_trajectories(path) as trajectories:
        assert len(trajectories) == shape[0]
        assert trajectories.spec.shape == tuple(shape[-2:])
        assert trajectories.spec.steps == (1 if trajectories.spec.steady else shape[1])


@cases
def test_every_stored_field_is_read_as_h5py_reads_it(path):
    task = TASKS[path.stem]
    with open_trajectories(path) as trajectories, h5py.File(path) as file:
        assert trajectories.spec.layout == path.parent.name
        assert trajectories.spec.task == path.stem
        for trajectory in range(len(trajectories)):
            fields = trajectories.read(trajectory)
            for field in task.fields:
                if field.spec.name not in trajectories.spec.names:
                    continue
                ours = fields[:, trajectories.spec.index([field.spec.name])[0]]
                np.testing.assert_array_equal(ours, np.broadcast_to(stored(file, field, trajectory, task), ours.shape))


def stored(file: h5py.File, field, trajectory: int, task) -> np.ndarray:
    """The values of a field as the layout defines them: (sample[, time][, channel], x, y)."""
    if not field.variable:
        return np.float32(field.value)
    values = file[field.variable][trajectory]
    has_channels = values.ndim == (3 if task.steady else 4)
    values = values[..., field.position, :, :] if has_channels else values
    return (values.swapaxes(-1, -2) if task.transposed else values) - np.float32(field.shift)
