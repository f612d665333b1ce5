"""The memory that a run is said to take is the memory that it takes."""

import os
import subprocess
import sys

import pytest

STEP = """
import sys

import torch

from models.memory import step_memory
from sciml.poseidon import ScOT, ScOTConfig
from sciml.poseidon.blocks import recompute_activations

torch.set_num_threads(1)
architecture = {"embed_dim": 40, "depths": (2, 2, 2), "num_heads": (2, 4, 8), "skip_connections": (1, 1, 0)}
net = ScOT(ScOTConfig(image_size=64, **architecture)).train()
recompute_activations(net, on=sys.argv[1] == "recompute")


def resident(kind):
    with open("/proc/self/status") as status:
        return 1024 * int(next(line for line in status if line.startswith(kind)).split()[1])


def step(samples):
    net(torch.randn(samples, 4, 64, 64), torch.rand(samples)).square().mean().backward()


step(1)  # whatever is made once
net.zero_grad()
before = resident("VmRSS")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak starts anew
step(16)
print(resident("VmHWM") - before, step_memory(net, 16, (64, 64), channels=4))
"""


@pytest.mark.validation
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the kernel does not tell the peak")
@pytest.mark.parametrize("activations", ["keep", "recompute"])
def test_a_step_takes_the_memory_that_was_estimated(activations):
    # All but small blocks are given back as soon as they are freed, so that the peak is that of what is in use.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", STEP, activations], capture_output=True, text=True, env=environment, check=True
    )
    taken, estimated = map(int, done.stdout.split())
    # The passes on the CPU fuse a few operations that the estimate counts one by one.
    assert 0.9 < estimated / taken < 1.3
