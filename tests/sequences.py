"""Little sequences to train on, one set for every task."""

from types import SimpleNamespace

import lightning as L
import torch
from torch.utils.data import DataLoader

from sciml.errors import ConfigError


class TinySequences(L.LightningDataModule):
    """Noisy waves about a level below or above zero: to be classified, measured, smoothed, or compared in pairs."""

    length, encoder, features, batch_size = 24, "continuous", 1, 8

    def __init__(self, task="classification", *, padded=False, encoder="continuous"):
        super().__init__()
        if encoder not in ("continuous", "tokens"):
            raise ConfigError(encoder)
        self.task, self.padded, self.encoder = task, padded, encoder
        self.outputs = 2 if task in ("classification", "retrieval") else 1
        self.vocabulary = 4
        self.described = SimpleNamespace(
            name="waves",
            kind=task,
            length=self.length,
            classes=("low", "high"),
            normaliser=SimpleNamespace(mean=torch.zeros(1), std=torch.ones(1)),
            target_normaliser=None,
        )

    def samples(self, seed, count):
        generator = torch.Generator().manual_seed(seed)
        kind = torch.randint(2, (count,), generator=generator)
        times = torch.arange(self.length) / self.length
        phase = torch.rand(count, 1, generator=generator)
        level = (2 * kind[:, None] - 1) * (0.3 + 0.7 * torch.rand(count, 1, generator=generator))
        wave = level + torch.sin(2 * torch.pi * (3 * times + phase))
        noisy = (wave + 0.1 * torch.randn(count, self.length, generator=generator))[..., None]
        batch = {"inputs": noisy, "target": kind}
        if self.padded:
            batch["lengths"] = torch.randint(self.length // 2, self.length + 1, (count,), generator=generator)
        if self.encoder == "tokens":
            batch["inputs"] = (noisy[..., 0] > 0).long() + 2 * (noisy[..., 0].abs() > 0.7)
        if self.task == "regression":
            batch["target"] = level
        elif self.task == "sequence":
            batch["target"] = wave[..., None]
        elif self.task == "retrieval":
            order = torch.randperm(count, generator=generator)
            batch |= {"inputs2": noisy[order], "target": (kind == kind[order]).long()}
            batch |= {"lengths2": batch["lengths"][order]} if self.padded else {}
        return [{key: value[i] for key, value in batch.items()} for i in range(count)]

    def train_dataloader(self):
        return DataLoader(self.samples(0, 64), batch_size=self.batch_size)

    def val_dataloader(self):
        return DataLoader(self.samples(1, 16), batch_size=self.batch_size)

    def test_dataloader(self):
        return DataLoader(self.samples(2, 32), batch_size=self.batch_size)
