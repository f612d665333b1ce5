"""CPU time to read one training sample from PDEBench's layouts: this package's reader and h5py by name, side by side.

    python benchmarks/reader_pdebench.py [--trajectories 64] [--resolution 128] [--out report.json]

The files have the published layouts, number types, chunks and filters, smaller numbers of trajectories, and are in the
page cache, so that what is measured is the work of the reader and not the disk. A sample is a pair of frames with all
channels, normalised, channels first. The usual reader keeps the file open and takes each variable by name (one group
and its data where every trajectory is a group), as a data set written in an afternoon does; the same random samples are
read by both, and once more through a DataLoader without workers. Groups of compressed trajectories are also measured
with as many channels and steps in a chunk as the published files have.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from reader import BATCH, PAIRS, STEPS, cpu_per_sample
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from sciml.data import PairDataset, ResumableBatchSampler, identity, open_trajectories

FLUID = ("density", "pressure", "Vx", "Vy")


@dataclass(frozen=True)
class Case:
    """One layout.

    Args:
        title: What it is, in the published data.
        write: Makes the file.
        frame: Reads one frame of one trajectory from the open file, as (channel, *space).
    """

    title: str
    write: Callable[[h5py.File, int, int], None]
    frame: Callable[[Any, int, int], np.ndarray]


def noise(*shape: int) -> np.ndarray:
    # Rounded, so that it can be compressed a little, as real fields can.
    return np.random.default_rng(0).standard_normal(shape, np.float32).round(2)


def add_grid(file: Any, space: tuple[int, ...], times: int, pattern: str = "{}-coordinate") -> None:
    for axis, points in zip("xyz", space, strict=False):
        file[pattern.format(axis)] = np.float32((np.arange(points) + 0.5) / points)
    file[pattern.format("t")] = np.float32(np.arange(times))


def write_scalar(file: h5py.File, count: int, n: int) -> None:
    file["tensor"] = noise(count, STEPS, 8 * n)
    add_grid(file, (8 * n,), STEPS + 1)


def write_fluid(file: h5py.File, count: int, n: int) -> None:
    for name in FLUID:
        file[name] = noise(count, STEPS, n, n)
    add_grid(file, (n, n), STEPS + 1)


def write_groups(channels: int, **how: Any) -> Callable[[h5py.File, int, int], None]:
    def write(file: h5py.File, count: int, n: int) -> None:
        values = noise(STEPS, n, n, channels)
        for seed in range(count):
            group = file.create_group(f"{seed:04d}")
            group.create_dataset("data", data=values + seed, **how)
            add_grid(group, (n, n), STEPS, "grid/{}")

    return write


def write_incompressible(file: h5py.File, count: int, n: int) -> None:
    count //= 8  # long and few, as published
    for name, components in (("velocity", 2), ("particles", 1)):
        chunks = (1, 1, n, n, components)
        data = noise(count, STEPS, n, n, components)
        file.create_dataset(name, data=data, chunks=chunks, compression="lzf", shuffle=True)
    file.create_dataset("force", data=noise(count, n, n, 2), chunks=(1, 1, n, 2), compression="lzf", shuffle=True)
    file["t"] = np.tile(np.arange(STEPS), (count, 1))


def scalar(file: Any, trajectory: int, step: int) -> np.ndarray:
    return file["tensor"][trajectory, step][None]


def fluid(file: Any, trajectory: int, step: int) -> np.ndarray:
    return np.stack([file[name][trajectory, step] for name in FLUID])


def groups(file: Any, trajectory: int, step: int) -> np.ndarray:
    return np.moveaxis(file[f"{trajectory:04d}"]["data"][step], -1, 0)


def incompressible(file: Any, trajectory: int, step: int) -> np.ndarray:
    parts = [file["velocity"][trajectory, step], file["particles"][trajectory, step], file["force"][trajectory]]
    return np.moveaxis(np.concatenate(parts, -1), -1, 0)


CASES = {
    "scalar": Case("1D scalar, contiguous", write_scalar, scalar),
    "fluid": Case("2D compressible, contiguous", write_fluid, fluid),
    "shallow water": Case("2D groups, contiguous", write_groups(1), groups),
    "diffusion-reaction": Case("2D groups, lzf", write_groups(2, compression="lzf"), groups),
    "incompressible": Case("2D incompressible, lzf", write_incompressible, incompressible),
}


class ByName(Dataset):
    """The usual reader: file open, variables by name, normalised."""

    def __init__(self, path: Path, case: Case, trajectories: int):
        self.file, self.case, self.trajectories = h5py.File(path), case, trajectories
        channels = case.frame(self.file, 0, 0)
        self.mean = torch.zeros(len(channels), *(1,) * (channels.ndim - 1))
        self.std = torch.ones_like(self.mean) * 2

    def __len__(self) -> int:
        return self.trajectories * len(PAIRS)

    def frame(self, trajectory: int, step: int) -> torch.Tensor:
        fields = torch.from_numpy(np.ascontiguousarray(self.case.frame(self.file, trajectory, step)))
        return (fields - self.mean) / self.std

    def __getitem__(self, index: int) -> dict:
        trajectory, (start, stop) = index // len(PAIRS), PAIRS[index % len(PAIRS)]
        lead_time = (stop - start) / 20.0
        return {"fields": self.frame(trajectory, start), "target": self.frame(trajectory, stop), "lead_time": lead_time}


def measure(path: Path, case: Case) -> dict[str, float]:
    trajectories = open_trajectories(path)
    names = trajectories.spec.names
    spec = trajectories.spec.with_statistics(dict.fromkeys(names, 0.0), dict.fromkeys(names, 2.0))
    ours = PairDataset(trajectories, PAIRS, spec=spec, channels_in=names, channels_out=names)
    usual = ByName(path, case, len(trajectories))
    samples = np.random.default_rng(1).integers(len(ours), size=4 * BATCH)
    for index in samples[:8].tolist():  # they must agree before they are compared
        for key in ("fields", "target"):
            torch.testing.assert_close(ours[index][key], usual[index][key])

    def each(read: Callable, items: Any) -> Callable[[], None]:
        def work() -> None:
            for item in items:
                read(item)

        return work

    def drain(loader: DataLoader) -> Callable[[], None]:
        def work() -> None:
            for k, _ in enumerate(loader, start=1):
                if k == 4:
                    break

        return work

    plain = DataLoader(usual, batch_size=BATCH, shuffle=True, generator=torch.Generator().manual_seed(0))
    sampler = ResumableBatchSampler(len(ours), BATCH, seed=0)
    batched = DataLoader(ours, batch_sampler=sampler, collate_fn=identity)
    return {
        "h5py by name": cpu_per_sample(each(usual.__getitem__, samples.tolist()), len(samples)),
        "PairDataset": cpu_per_sample(each(ours.__getitems__, np.split(samples, 4)), len(samples)),
        "loader, h5py by name": cpu_per_sample(drain(plain), 4 * BATCH),
        "loader, PairDataset": cpu_per_sample(drain(batched), 4 * BATCH),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=int, default=64)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("layout", "h5py by name", "PairDataset", "ratio", "loader: by name", "loader: ours", "ratio")
    report: dict[str, Any] = {
        "processor": platform.processor() or platform.machine(),
        "versions": {"torch": torch.__version__, "h5py": h5py.__version__, "numpy": np.__version__},
        "layouts": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            path = Path(folder) / f"{name.replace(' ', '_')}.hdf5"
            with h5py.File(path, "w") as file:
                case.write(file, arguments.trajectories, arguments.resolution)
            times = measure(path, case)
            report["layouts"][name] = {"file_bytes": path.stat().st_size, "cpu_microseconds_per_sample": times}
            usual, ours, usual_loader, our_loader = times.values()
            table.add_row(
                case.title,
                *(f"{usual:.0f}", f"{ours:.0f}", f"{usual / ours:.1f}"),
                *(f"{usual_loader:.0f}", f"{our_loader:.0f}", f"{usual_loader / our_loader:.1f}"),
            )
            path.unlink()
    Console().print("CPU µs per sample (a pair of frames, all channels)", table)
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
