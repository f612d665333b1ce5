"""Loading published weights takes 1.3 times their memory at most, with the published names and shapes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

PUBLISHED = Path(__file__).parents[1] / "fixtures/scot_keys"
STATUS = Path("/proc/self/status")
pytestmark = [
    pytest.mark.validation,
    pytest.mark.skipif(not STATUS.exists(), reason="the peak of the resident memory is read from /proc"),
]

# Runs in a process of its own, whose peak is that of one load. Adding the weights up brings all of them into memory,
# as the first use of the network would; a mapped file takes none before.
MEASURE = """
import json, sys
from pathlib import Path
from sciml.poseidon.checkpoint import from_pretrained

def memory(key):
    return 1024 * int(Path("/proc/self/status").read_text().split(key + ":")[1].split()[0])

tiny, folder, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
from_pretrained(tiny, verbose=False)  # imports what loading needs
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
before = memory("VmRSS")
net = from_pretrained(folder, **options)
total = sum(p.sum().item() for p in net.parameters())
size = sum(p.numel() * p.element_size() for p in net.parameters())
print(json.dumps({"ratio": (memory("VmHWM") - before) / size, "total": total}))
"""


def write_published(folder, size, *, name):
    """Weights in the published names and shapes; the sum of all of them."""
    published = json.loads((PUBLISHED / f"keys-{size}.json").read_text())
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(published["config"]))
    generator = torch.Generator().manual_seed(0)
    # The same random numbers again and again, because new ones for 629 M weights take longer than loading them.
    numbers = torch.rand(1 << 20, generator=generator)
    weights = {}
    for key, shape in published["keys"].items():
        flat = torch.empty(torch.Size(shape).numel())
        for part in flat.split(len(numbers)):
            part.copy_(numbers[: len(part)])
        weights[key] = flat.view(shape)
    if name == "model.safetensors":
        save_file(weights, folder / name)
    else:
        torch.save(weights, folder / name)
    return sum(weight.sum().item() for weight in weights.values())


@pytest.mark.parametrize(
    ("size", "name", "options"),
    [
        ("T", "model.safetensors", {}),
        ("T", "pytorch_model.bin", {}),
        ("B", "model.safetensors", {}),
        ("B", "pytorch_model.bin", {}),
        ("B", "model.safetensors", {"channels_in": ["u", "c"], "channels_out": ["u"], "image_size": 64}),
        ("L", "model.safetensors", {}),
    ],
)
def test_loading_takes_little_more_than_the_weights(size, name, options, tmp_path):
    total = write_published(tmp_path / size, size, name=name)
    tiny = PUBLISHED.parent / "scot/a_window_shift"
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tiny), str(tmp_path / size), json.dumps(options)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    measured = json.loads(result.stdout.splitlines()[-1])
    assert measured["ratio"] <= 1.3
    assert measured["ratio"] > 0.9  # the weights have been in memory
    if not options:
        assert measured["total"] == pytest.approx(total, rel=1e-6)  # sums of tensors, in float32
