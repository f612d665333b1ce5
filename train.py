"""Train, fine-tune and test: ``python train.py [experiment=NAME] [setting=value ...]``; ``--help`` lists the settings.

Composes the configuration, builds data, model and trainer, fits, tests, and leaves a report in the run's folder.
"""

from __future__ import annotations

import difflib
import errno
import logging
import os
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sciml.errors import CheckpointError, SciMLError, WriteError

INPUT_ERRORS = (HydraException, OmegaConfBaseException, SciMLError)


def run_folder(experiment: str, ckpt_path: str | None, train: bool) -> str:
    """Folder of the run: a new one, or that of the run which goes on from a checkpoint."""
    if train and ckpt_path:
        run = resolve_checkpoint(ckpt_path, experiment).parents[1]
        if (run / ".hydra").is_dir():
            return str(run)
    return f"outputs/{experiment}/{datetime.now():%Y-%m-%d_%H-%M-%S}"


def resolve_checkpoint(ckpt_path: str, experiment: str) -> Path:
    """The checkpoint that ``ckpt_path`` means; ``last`` is the newest one of the experiment."""
    if ckpt_path == "last":
        found = sorted(Path("outputs", experiment).glob("*/checkpoints/last.ckpt"), key=lambda p: p.stat().st_mtime)
        if not found:
            raise CheckpointError(
                f"ckpt_path=last: there is no outputs/{experiment}/*/checkpoints/last.ckpt to go on from. "
                "Start without ckpt_path, or give the path of a checkpoint."
            )
        return found[-1].absolute()
    if not Path(ckpt_path).is_file():
        raise CheckpointError(f"ckpt_path={ckpt_path}: there is no such file. A checkpoint, or `last`, is expected.")
    return Path(ckpt_path).absolute()


# The time stamp must not change between two uses in one run.
OmegaConf.register_new_resolver("run_folder", run_folder, use_cache=True)


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(config: DictConfig) -> None:
    """Carry out what a configuration says."""
    with plain_errors():
        run(config)


def run(config: DictConfig) -> None:
    """Build data, model and trainer; fit, test, report."""
    import lightning as L
    import torch
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # no banner, no advertisements
    ignored = "LeafSpec|many workers|checkpoint directory|WeightAveraging|recommended to use .self.log"
    warnings.filterwarnings("ignore", message=f".*({ignored}).*")
    job = HydraConfig.get()
    experiment = job.runtime.choices["experiment"]
    checkpoint = resolve_checkpoint(config.ckpt_path, experiment) if config.ckpt_path else None
    if config.threads:
        torch.set_num_threads(config.threads)
    L.seed_everything(config.seed, workers=True, verbose=False)

    data = instantiate(config.data, _convert_="all")
    model = instantiate(config.model, _convert_="all")
    command = shlex.join(["python", "train.py", *job.overrides.task])
    extra = {"report": {"command": command, "settings": OmegaConf.to_yaml(config, resolve=True)}}
    callbacks = [instantiate(c, **extra.get(name, {})) for name, c in config.callbacks.items() if c]
    loggers = [instantiate(c) for c in config.logger.values() if c]
    trainer = instantiate(config.trainer, callbacks=callbacks, logger=loggers, _convert_="all")
    trainer.print(f"Run folder: {config.run_dir}", flush=True)

    if config.train:
        trainer.fit(model, data, ckpt_path=checkpoint)
    if config.test:
        best = getattr(trainer.checkpoint_callback, "best_model_path", "") if config.train else checkpoint
        trainer.test(model, data, ckpt_path=best or None, verbose=False)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Say what is wrong with the input in one line, unless HYDRA_FULL_ERROR=1 asks for the whole stack."""
    try:
        yield
    except (*INPUT_ERRORS, OSError) as error:
        full_disk = isinstance(error, OSError) and error.errno == errno.ENOSPC
        if "SCIML_PLAIN_ERRORS" not in os.environ or not (full_disk or isinstance(error, INPUT_ERRORS)):
            raise
        if full_disk and not isinstance(error, SciMLError):
            hint = "free some space and go on with ckpt_path=last"
            error = WriteError(f"the disk is full ({error}); {hint}, or write elsewhere with hydra.run.dir=FOLDER.")
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, SciMLError):
            cause = cause.__cause__ or cause.__context__
        text = " ".join(str(cause or error).split())
        text = text.replace(" To append to your config use", f"{suggest(text)} To add a new setting:")
        print(f"\n{text}\n(HYDRA_FULL_ERROR=1 shows where this came from.)", file=sys.stderr)
        sys.exit(1)


def suggest(message: str) -> str:
    """The settings that look like the one which a message of Hydra cannot find."""
    wrong = re.search(r"Could not override '([^']+)'", message)
    if not wrong:
        return ""
    groups = [a for a in sys.argv[1:] if re.match(r"[\w/]+=", a) and "." not in a.split("=")[0]]
    with hydra.initialize_config_dir(str(Path(__file__).parent / "configs"), version_base="1.3"):
        settings: list[str] = []
        _collect(hydra.compose("train", [g for g in groups if g.split("=")[0] != wrong[1]]), "", settings)
    last = wrong[1].rsplit(".", 1)[-1]
    close = difflib.get_close_matches(wrong[1], settings, n=3, cutoff=0.8)
    close += [s for s in settings if s.rsplit(".", 1)[-1] == last and s not in close]
    return f" Did you mean {' or '.join(close[:3])}?" if close else ""


def _collect(node: DictConfig, prefix: str, found: list[str]) -> None:
    for key in node:
        found.append(f"{prefix}{key}")
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            _collect(child, f"{prefix}{key}.", found)


if __name__ == "__main__":
    if os.environ.get("HYDRA_FULL_ERROR") != "1":
        # Hydra then hands its exceptions on instead of printing them; workers of a distributed run inherit both.
        os.environ |= {"HYDRA_FULL_ERROR": "1", "SCIML_PLAIN_ERRORS": "1"}
    with plain_errors():
        main()
