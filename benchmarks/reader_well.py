"""CPU time to read one training sample from The Well's layout: this package's reader against h5py, side by side.

    python benchmarks/reader_well.py [--trajectories 32] [--resolution 128] [--out report.json]

The file has the published layout: scalar, vector and tensor fields, channels last, contiguous or compressed, and is in
the page cache, so that what is measured is the work of the reader and not the disk. A sample is a pair of frames with
all seven channels; samples are drawn at random. The published data set class opens the file for every sample and reads
each field by name; "h5py, opened each time" does the same without its remote file system and its augmentations, so that
it is the faster of the two; the class itself is measured where it is installed. The others hand out channels last and
not normalised, this package's reader channels first and normalised, as networks take them.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from sciml.data import AllPairs, PairDataset, ResumableBatchSampler, identity, open_trajectories
from sciml.data.well_statistics import write_statistics

STEPS, BATCH = 21, 32
FIELDS = {"t0_fields": {"pressure": ()}, "t1_fields": {"velocity": (2,)}, "t2_fields": {"stress": (2, 2)}}
TEXT = h5py.string_dtype()


def make_file(path: Path, trajectories: int, resolution: int, **storage: Any) -> None:
    rng = np.random.default_rng(0)
    grid = np.float32(np.arange(resolution) / resolution)
    with h5py.File(path, "w") as file:
        file.attrs.update(dataset_name="bench", grid_type="cartesian", n_spatial_dims=2, n_trajectories=trajectories)
        file.attrs["simulation_parameters"] = np.array([], TEXT)
        for group in ("dimensions", "boundary_conditions", "scalars", *FIELDS):
            file.create_group(group).attrs["field_names"] = np.array(list(FIELDS.get(group, ())), TEXT)
        file["dimensions"].attrs["spatial_dims"] = np.array(["x", "y"], TEXT)
        for name, values in (("time", np.arange(STEPS, dtype="f4")), ("x", grid), ("y", grid)):
            file[f"dimensions/{name}"] = values
            file[f"dimensions/{name}"].attrs.update(sample_varying=False, time_varying=name == "time")
        for group, fields in FIELDS.items():
            for name, components in fields.items():
                shape = (trajectories, STEPS, resolution, resolution, *components)
                chunks = {"chunks": (1, 1, *shape[2:])} if storage else {}
                dataset = file.create_dataset(f"{group}/{name}", shape, "f4", **chunks, **storage)
                dataset.attrs.update(sample_varying=True, time_varying=True, dim_varying=np.ones(2, bool))
                for i in range(trajectories):
                    dataset[i] = rng.standard_normal(shape[1:], np.float32)


class Reopened(Dataset):
    """Opens the file for every sample, reads each field by name, joins the channels at the end."""

    def __init__(self, path: Path, trajectories: int):
        self.path, self.trajectories = path, trajectories

    def __len__(self):
        return self.trajectories * (STEPS - 1)

    def frames(self, file: Any, trajectory: int, start: int) -> torch.Tensor:
        values = []
        for group, fields in FIELDS.items():
            for name in fields:
                values.append(torch.as_tensor(file[group][name][trajectory, start : start + 2]).reshape(2, -1))
        size = values[0].shape[1]
        return torch.cat([v.reshape(2, size, -1) for v in values], -1)

    def __getitem__(self, index: int):
        trajectory, start = divmod(index, STEPS - 1)
        with h5py.File(self.path) as file:
            frames = self.frames(file, trajectory, start)
        return frames[0], frames[1]


class KeptOpen(Reopened):
    """The same with one handle, opened once."""

    def __getitem__(self, index: int):
        if not hasattr(self, "file"):
            self.file = h5py.File(self.path)
        trajectory, start = divmod(index, STEPS - 1)
        frames = self.frames(self.file, trajectory, start)
        return frames[0], frames[1]


def cpu_per_sample(work: Callable[[], int], *, repeats: int = 3) -> float:
    """Median CPU time in microseconds."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        samples = work()
        times.append((time.process_time() - start) / samples * 1e6)
    return statistics.median(times)


def drain(loader: DataLoader, batches: int) -> Callable[[], int]:
    def work() -> int:
        return sum(1 for _ in zip(range(batches), loader, strict=False)) * BATCH

    return work


def published(path: Path) -> Dataset | None:
    try:
        from the_well.data import WellDataset  # type: ignore[import-not-found]
    except ImportError:
        return None
    return WellDataset(path=str(path.parent), n_steps_input=1, n_steps_output=1)


def readers(path: Path, trajectories: int, batches: int) -> dict[str, float]:
    class_of_the_well = published(path)
    plain = {
        **({"WellDataset": class_of_the_well} if class_of_the_well else {}),
        "h5py, opened each time": Reopened(path, trajectories),
        "h5py, kept open": KeptOpen(path, trajectories),
    }
    loaders = {
        name: DataLoader(dataset, BATCH, shuffle=True, generator=torch.Generator().manual_seed(0))
        for name, dataset in plain.items()
    }
    names = [name for fields in FIELDS.values() for name in fields]
    ones = {"pressure": 1.0, "velocity": [1.0] * 2, "stress": [[1.0] * 2] * 2}
    zeros = {name: (np.asarray(ones[name]) * 0).tolist() for name in names}
    write_statistics(path.parent / "stats.yaml", {"mean": zeros, "std": ones})
    pairs = AllPairs(STEPS - 1, transitions=[1])
    dataset = PairDataset(open_trajectories(path), pairs)
    sampler = ResumableBatchSampler(len(dataset), BATCH, seed=0)
    loaders["sciml"] = DataLoader(dataset, batch_sampler=sampler, collate_fn=identity)
    return {name: cpu_per_sample(drain(loader, batches)) for name, loader in loaders.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=int, default=32)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, Any] = {
        "processor": platform.processor() or platform.machine(),
        "versions": {"torch": torch.__version__, "h5py": h5py.__version__, "numpy": np.__version__},
    }
    for kind, storage in (("contiguous", {}), ("gzip", {"compression": "gzip", "compression_opts": 4})):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bench.hdf5"
            make_file(path, arguments.trajectories, arguments.resolution, **storage)
            times = readers(path, arguments.trajectories, arguments.batches)
            size = path.stat().st_size
        report[kind] = {"file_bytes": size, "microseconds": times}
        table = Table("reader", title=f"Pairs of The Well's layout, {kind}, {size / 1e6:.0f} MB")
        for column in ("CPU µs/sample", "samples/s", "times less CPU"):
            table.add_column(column, justify="right")
        first = next(iter(times.values()))
        for name, microseconds in times.items():
            table.add_row(name, f"{microseconds:.1f}", f"{1e6 / microseconds:,.0f}", f"{first / microseconds:.1f}")
        Console().print(table)
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
