"""Callbacks that hurt a run at a chosen step."""

import errno
import os
import signal

import lightning as L


class SignalAt(L.Callback):
    """Send a signal to the own process before step ``step`` is taken."""

    def __init__(self, step: int, name: str):
        self.step = step
        self.signal = signal.Signals[name]

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            self.step = -1
            os.kill(os.getpid(), self.signal)


class FullDiskAt(L.Callback):
    """Fail as a checkpoint does when the disk is full."""

    def __init__(self, step: int):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise OSError(errno.ENOSPC, "No space left on device", "last.ckpt")
