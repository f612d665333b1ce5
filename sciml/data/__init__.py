"""Fields on disk: open files of trajectories, pair their steps into samples, normalise, write."""

from sciml.data.dataset import PairDataset, identity
from sciml.data.detect import open_trajectories
from sciml.data.forecast import ForecastDataset
from sciml.data.mixture import MixtureBatchSampler, MixtureDataset
from sciml.data.normalise import Normaliser, compute_statistics
from sciml.data.pairs import AllPairs, FixedInput, Pairs, SteadyPair, Windows, split
from sciml.data.sampler import ResumableBatchSampler
from sciml.data.spec import FieldSpec, TrajectorySpec, group_slices
from sciml.data.trajectories import Trajectories
from sciml.data.write import TrajectoryWriter

__all__ = [
    "AllPairs",
    "FieldSpec",
    "FixedInput",
    "ForecastDataset",
    "MixtureBatchSampler",
    "MixtureDataset",
    "Normaliser",
    "PairDataset",
    "Pairs",
    "ResumableBatchSampler",
    "SteadyPair",
    "Trajectories",
    "TrajectorySpec",
    "TrajectoryWriter",
    "Windows",
    "compute_statistics",
    "group_slices",
    "identity",
    "open_trajectories",
    "split",
]
