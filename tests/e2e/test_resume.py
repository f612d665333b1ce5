"""Runs that are killed, interrupted or out of disk go on to the same numbers."""

import pytest

from tests.e2e.conftest import LONG, train


def hurt(fault, **arguments):
    values = [f"+callbacks.{fault}.{key}={value}" for key, value in arguments.items()]
    return [f"+callbacks.{fault}._target_=tests.e2e.faults.{fault}", *values]


@pytest.mark.parametrize("step", [6, 18])  # in the middle of the first and of the second epoch, between checkpoints
def test_a_killed_run_goes_on_from_the_last_saved_step_to_the_same_losses(finished, tmp_path, data_dir, step):
    killed = train(tmp_path, *LONG, *hurt("SignalAt", step=step, name="SIGKILL"), data_dir=data_dir)
    assert killed.code == -9
    resumed = train(
        tmp_path, *LONG, "ckpt_path=last", "data.num_workers=2" if step == 18 else "seed=0", data_dir=data_dir
    )
    assert resumed.code == 0, resumed.out
    assert len(resumed.runs) == 1  # the same folder
    saved = step - step % 4
    # Not close: equal. Same samples, same state of the optimiser and of the schedule, same threads.
    assert {k: v for k, v in resumed.losses().items() if k >= saved} == {
        k: v for k, v in finished.losses().items() if k >= saved
    }


def test_ctrl_c_finishes_the_step_saves_and_says_how_to_go_on(finished, tmp_path, data_dir):
    stopped = train(tmp_path, *LONG, *hurt("SignalAt", step=13, name="SIGINT"), data_dir=data_dir)
    assert stopped.code == 1
    assert (
        "Stopped after step 14. Go on with: python train.py experiment=poseidon/ns_pwc_nano ckpt_path=last"
        in stopped.out
    )
    assert "Traceback" not in stopped.out
    resumed = train(tmp_path, *LONG, "ckpt_path=last", data_dir=data_dir)
    assert resumed.code == 0, resumed.out
    assert resumed.losses() == finished.losses()  # all of them: the interrupted run wrote its metrics before it stopped


def test_a_full_disk_is_named_and_the_run_can_go_on(tmp_path, data_dir):
    result = train(tmp_path, *LONG, *hurt("FullDiskAt", step=5), data_dir=data_dir)
    assert result.code == 1
    assert "the disk is full" in result.out
    assert "ckpt_path=last" in result.out
    assert "Traceback" not in result.out
    assert (result.runs[0] / "checkpoints/last.ckpt").is_file()
