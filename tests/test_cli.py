import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from sciml import cli
from sciml.pde import TASKS
from sciml.pde.generate import generate

COMMAND = [sys.executable, "-c", "from sciml.cli import app; app()"]
QUICK = ["--trajectories", "3", "--resolution", "16", "--param", "frames=3", "--param", "horizon=0.1"]


def run(monkeypatch, capsys, *arguments, environment=None):
    """The command as the shell runs it, in this process: exit code, output, error output."""
    monkeypatch.setattr(sys, "argv", ["sciml", *arguments])
    for name, value in (environment or {}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stop:
        cli.app()
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


@pytest.fixture
def small_file(tmp_path):
    return generate(
        "NS-PwC", tmp_path / "small.nc", trajectories=2, resolution=16, frames=3, horizon=0.1, progress=False
    )


def test_generate_writes_the_file_and_shows_what_is_in_it(monkeypatch, capsys, tmp_path):
    out = tmp_path / "a.nc"
    code, shown, _ = run(monkeypatch, capsys, "generate", "ns-pwc", "--out", str(out), "--seed", "2", *QUICK)
    assert code == 0
    assert out.exists()
    assert "3, 3 steps from t = 0 to 0.1" in shown
    assert "16 x 16, periodic, periodic" in shown
    assert "tracer" in shown


def test_generate_without_a_file_name_uses_the_name_of_the_task(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, capsys, "generate", "NS-SL", *QUICK)[0] == 0
    assert (tmp_path / "NS-SL.nc").exists()


def test_generate_makes_one_part_of_a_job_array(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["NS-PwC", "--shard", "1/3", "--block", "1", "--workers", "2", "--out", "set.nc", *QUICK]
    code, shown, _ = run(monkeypatch, capsys, "generate", *arguments)
    assert code == 0
    assert "set/set_00001.nc" in shown
    assert "1, 3 steps" in shown


def test_a_preview_is_a_picture_of_four_samples(monkeypatch, capsys, tmp_path):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    code, shown, _ = run(monkeypatch, capsys, "generate", "NS-PwC", "--preview", *QUICK[2:])
    assert code == 0
    assert "NS-PwC.png: four samples" in shown
    with Image.open(tmp_path / "NS-PwC.png") as picture:
        assert picture.format == "PNG"
        width, height = picture.size
        # Four rows and three columns (the frames) of square pictures.
        assert 0.6 < width / height < 1.0
        assert len(set(picture.convert("RGB").resize((64, 64)).getdata())) > 100  # there is something to see
    assert [path.name for path in tmp_path.iterdir()] == ["NS-PwC.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["NS-PwV"], "Did you mean NS-PwC?"),
        ([], "no task is named"),
        (["NS-PwC", "--param", "amplitud=1"], "Did you mean amplitude?"),
        (["NS-PwC", "--param", "name=x"], "has no parameter 'name'"),
        (["NS-PwC", "--param", "amplitude"], "has no '='"),
        (["NS-PwC", "--param", "amplitude=big"], "'big' is not float"),
        (["NS-PwC", "--param", "cells=2.5"], "'2.5' is not int"),
        (["NS-PwC", "--param", "tracer=maybe"], "'maybe' is not bool"),
        (["NS-PwC", "--param", "multiplier=sharp"], "'sharp' is not smooth or step"),
        (["NS-PwC", "--resolution", "15"], "even number"),
        (["NS-PwC", "--device", "abacus"], "sciml doctor"),
        (["NS-PwC", "--shard", "1"], "--shard 1 is not I/N"),
        (["NS-PwC", "--shard", "8/8"], "shard 8/8 is not there"),
        (["NS-PwC", "--solver-resolution", "64"], "has no parameter 'solver_resolution'"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_1(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, shown, error = run(monkeypatch, capsys, "generate", *arguments)
    assert code == 1
    assert shown == ""
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_frames_of_an_error_are_shown_for_debugging(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sciml", "generate", "nothing"])
    monkeypatch.setenv("SCIML_DEBUG", "1")
    with pytest.raises(cli.ConfigError):
        cli.app()


def test_parameters_take_the_type_that_the_task_declares():
    assigned = ["amplitude=5", "cells=8", "tracer=false", "multiplier=step", "tracer_viscosity=none", "cfl=.5"]
    assert cli._parameters("NS-PwC", assigned) == {
        "amplitude": 5.0,
        "cells": 8,
        "tracer": False,
        "multiplier": "step",
        "tracer_viscosity": None,
        "cfl": 0.5,
    }
    assert cli._parameters("NS-PwC", ["tracer_viscosity=0.1"]) == {"tracer_viscosity": 0.1}


def test_the_list_shows_every_task_and_the_parameters_of_one(monkeypatch, capsys):
    _, shown, _ = run(monkeypatch, capsys, "generate", "--list")
    assert all(name in shown for name in TASKS)
    _, shown, _ = run(monkeypatch, capsys, "generate", "NS-PwC", "--list")
    assert "amplitude U[-1, 1]" in shown
    assert "Published: 21" in shown


def test_doctor_tells_versions_devices_and_missing_solvers(monkeypatch, capsys):
    code, shown, _ = run(monkeypatch, capsys, "doctor")
    assert code == 0
    for word in ("sciml", "python", "torch", "devices", "cpu", "threads", "HiGHS", "Clarabel", "CasADi", "lightning"):
        assert word in shown


def test_doctor_shows_a_file_that_can_be_read(monkeypatch, capsys, small_file):
    code, shown, _ = run(monkeypatch, capsys, "doctor", "--data", str(small_file))
    assert code == 0
    assert "generated (replica)" in shown
    assert "2, 3 steps" in shown


def test_doctor_fails_on_a_file_or_a_model_that_cannot_be_read(monkeypatch, capsys, tmp_path, small_file):
    broken = tmp_path / "broken.nc"
    broken.write_bytes(small_file.read_bytes()[:20000])
    for arguments in (["--data", str(tmp_path / "missing.nc")], ["--data", str(broken)], ["--model", str(tmp_path)]):
        code, shown, error = run(monkeypatch, capsys, "doctor", *arguments)
        assert code == 1
        assert "torch" in shown  # the rest of the report is there
        assert error.startswith("error: ")
        assert "Traceback" not in error


def test_doctor_loads_a_model(monkeypatch, capsys, tmp_path):
    from sciml import ScOT, ScOTConfig

    config = ScOTConfig(image_size=16, patch_size=4, embed_dim=12, depths=(1,), num_heads=(3,), skip_connections=(0,))
    ScOT(config).save_pretrained(tmp_path / "model")
    code, shown, _ = run(monkeypatch, capsys, "doctor", "--model", str(tmp_path / "model"))
    assert code == 0
    assert "ScOT" in shown


def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path):
    out = tmp_path / "a.nc"
    command = [*COMMAND, "generate", "NS-PwC", "-n", "400", "-r", "32", "--block", "2", "-o", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    journal = tmp_path / "a.nc.part.journal"
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 5):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "of 400 trajectories. The same command goes on from trajectory" in error
    assert "Traceback" not in error


def test_help_is_there_without_loading_torch():
    program = "import sys, sciml.cli; assert 'torch' not in sys.modules; assert 'h5py' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
    result = CliRunner().invoke(cli.cli, ["--help"])
    assert result.exit_code == 0
    assert "generate" in result.output
    assert "doctor" in result.output
