"""Sequences for training: generated, read from published files, or from your own; padded, with their lengths."""

from sciml.data.sequences.dataset import SequenceDataset
from sciml.data.sequences.idx import open_fashion_mnist
from sciml.data.sequences.listops import open_listops
from sciml.data.sequences.lra_images import open_cifar10
from sciml.data.sequences.lra_text import open_aan, open_imdb
from sciml.data.sequences.pathfinder import open_pathfinder
from sciml.data.sequences.ragged import Sequences, SequenceTask
from sciml.data.sequences.sampler import LengthBatchSampler
from sciml.data.sequences.series import open_series

__all__ = [
    "LengthBatchSampler",
    "SequenceDataset",
    "SequenceTask",
    "Sequences",
    "open_aan",
    "open_cifar10",
    "open_fashion_mnist",
    "open_imdb",
    "open_listops",
    "open_pathfinder",
    "open_series",
]
