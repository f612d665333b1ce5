"""Every configuration composes and instantiates; wrong input gives one clear line."""

import hydra
import lightning as L
import numpy as np
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate

import train as application
from tests.e2e.conftest import ROOT, train

CONFIGS = ROOT / "configs"


def options(group):
    return [
        str(path.relative_to(CONFIGS / group).with_suffix("")) for path in sorted((CONFIGS / group).rglob("*.yaml"))
    ]


GROUPS = ("data", "model", "trainer", "callbacks", "logger", "experiment", "debug", "recipe")
CHOICES = [(group, option) for group in GROUPS for option in options(group)]


def compose(*overrides):
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = hydra.compose("train", [*overrides, "run_dir=run"], return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    return config


@pytest.mark.parametrize(("group", "option"), CHOICES, ids=lambda value: value)
def test_every_option_composes_and_instantiates(group, option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    many = option in ("mixture", "pretraining") or "pretrain_nano" in option  # whose files have names of their own
    path = [] if many or option.startswith(("elliptic", "barron/", "inflows", "dispatch")) else ["data.path=file.nc"]
    data = ["experiment=ssm/listops_small"] if option == "fast_sequences" else []
    config = compose(f"{group}={option}", *data, *path, "trainer.accelerator=cpu")
    if option in ("ddp", "fsdp"):
        config.trainer.devices = 2
    assert isinstance(instantiate(config.data, _convert_="all"), L.LightningDataModule)
    assert isinstance(instantiate(config.model, _convert_="all"), L.LightningModule)
    report = {"report": {"command": "", "settings": ""}}
    callbacks = [instantiate(c, **report.get(name, {})) for name, c in config.callbacks.items()]
    loggers = [instantiate(c) for c in config.logger.values()]
    trainer = instantiate(config.trainer, callbacks=callbacks, logger=loggers, _convert_="all")
    assert set(callbacks) <= set(trainer.callbacks)
    assert trainer.loggers == loggers


def test_every_setting_is_explained_where_it_is_defined():
    # Their settings are explained in the files that they change.
    inherited = {"data/ns_pwc.yaml", "data/ns_pwc_few.yaml", "data/pretraining.yaml", "model/poseidon_nano.yaml"}
    inherited |= {"trainer/gpu.yaml", "trainer/ddp.yaml"}
    inherited |= {f"model/{layer}.yaml" for layer in ("s4", "s4d", "s4_ptd", "s5", "s5_ptd")}
    for path in CONFIGS.rglob("*.yaml"):
        assert path.read_text().startswith("#"), f"{path} does not say what it is"
        name = str(path.relative_to(CONFIGS))
        if name.split("/")[0] in ("data", "model", "trainer") and name not in inherited:
            lines = path.read_text().splitlines()
            commented = sum(line.lstrip().startswith("#") for line in lines)
            settings = sum(":" in line and not line.lstrip().startswith(("#", "_", "-")) for line in lines)
            assert commented >= settings / 2, f"{path}: {settings} settings, {commented} comments"


def test_a_run_that_goes_on_stays_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = tmp_path / "outputs/some/2026-01-01_00-00-00/checkpoints/last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    (checkpoint.parents[1] / ".hydra").mkdir()
    assert application.run_folder("some", "last", True) == str(checkpoint.parents[1])
    assert application.run_folder("some", str(checkpoint), True) == str(checkpoint.parents[1])
    assert application.run_folder("some", str(checkpoint), False) != str(checkpoint.parents[1])
    assert application.run_folder("some", None, True).startswith("outputs/some/2")


WRONG = {
    "key": (["trainer.max_stepss=3"], "Could not override 'trainer.max_stepss'. Did you mean trainer.max_steps"),
    "misplaced key": (["learning_rate=3"], "Did you mean model.learning_rate?"),
    "option": (["model=scot_nan"], "Could not find 'model/scot_nan'"),
    "value": (["data.batch_size=many"], "data.batch_size is 'many'; a whole number of at least 1 is expected"),
    "schedule": (["model.schedule=linear"], "model.schedule is 'linear'; cosine or constant is expected"),
    "trainer value": (["trainer.precision=7-true"], "7-true"),
    "missing setting": (["data=file"], "Missing mandatory value: data.path"),
    "missing file": (["data=file", "data.path=nowhere.nc"], "nowhere.nc does not exist"),
    "checkpoint": (["ckpt_path=last"], "there is no outputs/poseidon/ns_pwc_nano/*/checkpoints/last.ckpt"),
    "channel": (["data.channels=[u,w]"], "channel 'w' is not in the file; it has"),
    "too many": (["data.trajectories=100"], "8 trajectories, of which 4 are left for training"),
    "no model": (
        ["model=poseidon_pretrained", "model.pretrained=./nowhere"],
        "nowhere does not exist. A folder with config.json",
    ),
    "settings of a fixed architecture": (
        ["model=poseidon_pretrained", "+model.network.embed_dim=48"],
        "embed_dim came together with pretrained=",
    ),
    "pairs": (["data.max_steps=30"], "the trajectories have 21 steps"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_gives_one_clear_line(case, tmp_path, data_dir):
    arguments, message = WRONG[case]
    result = train(tmp_path, *arguments, data_dir=data_dir)
    assert result.code == 1, result.out
    assert "Traceback" not in result.out
    line = [line for line in result.out.splitlines() if line.strip()][-2]
    assert message in line, result.out
    assert "HYDRA_FULL_ERROR=1" in result.out.splitlines()[-1]


def test_the_whole_stack_is_shown_on_request(tmp_path):
    result = train(tmp_path, "data.batch_size=many", full_error=True)
    assert "Traceback" in result.out
    assert "ConfigError" in result.out


def test_help_is_readable(tmp_path):
    result = train(tmp_path, "--help")
    assert result.code == 0
    assert "python train.py ckpt_path=last" in result.out
    assert "poseidon_pretrained, s4, s4_ptd, s4d, s5, s5_ptd, scot" in " ".join(result.out.split())
    # The lists of options are as long as there are options.
    assert max(len(line) for line in result.out.splitlines() if ": " not in line) <= 120


def test_nan_in_the_data_is_located(tmp_path):
    import h5py

    from sciml.pde.generate import generate

    path = generate("NS-PwC", tmp_path / "nan.nc", trajectories=8, resolution=32, progress=False)
    with h5py.File(path, "r+") as file:
        file["velocity"][1, 4, 1, 3, 3] = np.nan
    result = train(tmp_path, "data=file", f"data.path={path}", "data.batch_size=72", "data.channels=[u,v]")
    assert result.code == 1
    assert "trajectory 1, step 4" in result.out
    assert "'v'" in result.out


def test_a_folder_without_weights_is_named(tmp_path, data_dir, finished):
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "config.json").write_text((finished.runs[0] / "model/config.json").read_text())
    arguments = ["model=poseidon_pretrained", f"model.pretrained={folder}"]
    result = train(tmp_path, *arguments, data_dir=data_dir)
    assert result.code == 1
    assert "has a config.json but no weights: model.safetensors or pytorch_model.bin is expected" in result.out
