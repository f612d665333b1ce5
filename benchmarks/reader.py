"""CPU time to read one training sample: this package's reader against h5py and xarray, side by side on one file.

    python benchmarks/reader.py [--trajectories 128] [--out report.json]

The file has the published layout (NS-PwC: 21 steps, 3 channels, 128 x 128, one frame a chunk), about 500 MB at 128
trajectories, and is in the page cache, so that what is measured is the work of the reader and not the disk. A sample is
a pair of frames with two stored channels each, 256 KiB. Samples are drawn at random, the same ones for every reader.
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
import xarray
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from sciml.data import AllPairs, PairDataset, ResumableBatchSampler, TrajectoryWriter, identity, open_trajectories

STEPS, CHANNELS, SIZE, BATCH = 21, 3, 128, 32
PAIRS = AllPairs(7, stride=2)


def make_file(path: Path, trajectories: int) -> None:
    grid = np.arange(SIZE) / SIZE
    rng = np.random.default_rng(0)
    with TrajectoryWriter(
        path,
        task="NS-PwC",
        variable="velocity",
        channels=("u", "v", "tracer"),
        trajectories=trajectories,
        times=np.linspace(0, 1, STEPS),
        coordinates={"x": grid, "y": grid},
        boundary=("periodic", "periodic"),
    ) as writer:
        for i in range(trajectories):
            writer.write(i, rng.standard_normal((1, STEPS, CHANNELS, SIZE, SIZE), np.float32))


class ByName(Dataset):
    """Reads as the reference does: the variable looked up by name for each slice, channels concatenated, normalised."""

    def __init__(self, path: Path):
        self.file: Any = h5py.File(path)
        self.mean = torch.tensor([0.80, 0.0, 0.0, 0.0])[:, None, None]
        self.std = torch.tensor([0.31, 0.391, 0.356, 0.185])[:, None, None]
        self.mask = torch.tensor([False, False, False, True])

    def __len__(self):
        return len(self.file["velocity"]) * len(PAIRS)

    def frame(self, trajectory: int, step: int) -> torch.Tensor:
        velocity = torch.from_numpy(self.file["velocity"][trajectory, step, 0:2]).float().reshape(2, SIZE, SIZE)
        fields = torch.cat([torch.ones(1, SIZE, SIZE), velocity, torch.zeros(1, SIZE, SIZE)])
        return (fields - self.mean) / self.std

    def __getitem__(self, index: int) -> dict:
        trajectory, (start, stop) = index // len(PAIRS), PAIRS[index % len(PAIRS)]
        return {
            "fields": self.frame(trajectory, start),
            "target": self.frame(trajectory, stop),
            "lead_time": (stop - start) / 20.0,
            "mask": self.mask,
        }


def cpu_per_sample(work: Callable[[], None], samples: int, *, repeats: int = 5) -> float:
    """Median CPU time in microseconds."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append((time.process_time() - start) / samples * 1e6)
    return statistics.median(times)


def readers(path: Path, trajectories: int) -> dict[str, float]:
    samples = np.random.default_rng(1).integers(trajectories * len(PAIRS), size=512)
    place, pair = np.divmod(samples, len(PAIRS))
    frames = np.concatenate([np.repeat(place, 2)[:, None], PAIRS.table[pair].reshape(-1, 1)], 1)
    batches = np.split(frames, len(samples) // BATCH)

    by_name = ByName(path)
    file = h5py.File(path, rdcc_nbytes=64 << 20)
    cached: Any = file["velocity"]
    labelled = xarray.open_dataset(path, engine="h5netcdf")["velocity"]
    ours = open_trajectories(path)
    dataset = PairDataset(ours, PAIRS)
    source = np.ones((trajectories * STEPS, 2, SIZE, SIZE), np.float32)

    def through_memory():
        # The limit: the same bytes, copied from one place in memory to another.
        for batch in batches:
            target = np.empty((len(batch), 2, SIZE, SIZE), np.float32)
            for k, (trajectory, step) in enumerate(batch):
                target[k] = source[trajectory * STEPS + step]

    def each(read: Callable, items) -> Callable[[], None]:
        def work():
            for item in items:
                read(item)

        return work

    return {
        "h5py by name, normalised": cpu_per_sample(each(by_name.__getitem__, samples[:128]), 128),
        "xarray (h5netcdf)": cpu_per_sample(
            each(lambda f: labelled[int(f[0]), int(f[1]), 0:2].values, frames[:128]), 64, repeats=3
        ),
        "h5py, dataset cached": cpu_per_sample(each(lambda f: cached[f[0], f[1], 0:2], frames), 512),
        "read_frames": cpu_per_sample(
            each(lambda b: ours.read_frames(b[:, 0], b[:, 1], channels=("u", "v")), batches), 512
        ),
        "PairDataset, normalised": cpu_per_sample(each(dataset.__getitems__, np.split(samples, len(batches))), 512),
        "memory copy (the limit)": cpu_per_sample(through_memory, 512),
    }


def loaders(path: Path) -> dict[str, float]:
    count = 32

    def drain(loader: DataLoader) -> None:
        for k, _ in enumerate(loader, start=1):
            if k == count:
                break

    reference = ByName(path)
    dataset = PairDataset(open_trajectories(path), PAIRS)
    order = torch.Generator().manual_seed(0)
    plain = DataLoader(reference, batch_size=BATCH, shuffle=True, generator=order)
    batched = DataLoader(dataset, batch_sampler=ResumableBatchSampler(len(dataset), BATCH, seed=0), collate_fn=identity)
    return {
        "h5py by name": cpu_per_sample(lambda: drain(plain), count * BATCH, repeats=3),
        "PairDataset": cpu_per_sample(lambda: drain(batched), count * BATCH),
    }


def show(title: str, times: dict[str, float]) -> None:
    table = Table("reader", title=title)
    for column in ("CPU µs/sample", "samples/s", "times less CPU"):
        table.add_column(column, justify="right")
    first = next(iter(times.values()))
    for name, microseconds in times.items():
        table.add_row(name, f"{microseconds:.1f}", f"{1e6 / microseconds:,.0f}", f"{first / microseconds:.1f}")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=int, default=128)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "NS-PwC.nc"
        make_file(path, arguments.trajectories)
        report = {
            "file_bytes": path.stat().st_size,
            "processor": platform.processor() or platform.machine(),
            "versions": {"torch": torch.__version__, "h5py": h5py.__version__, "numpy": np.__version__},
            "reader": readers(path, arguments.trajectories),
            "loader": loaders(path),
        }
    show(f"Reading pairs from a file of {report['file_bytes'] / 1e6:.0f} MB", report["reader"])
    show(f"DataLoader, batch {BATCH}, no workers", report["loader"])
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
