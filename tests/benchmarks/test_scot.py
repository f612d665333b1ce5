"""The scOT benchmark finds the original code in a checkout and gives it the settings and weights of ours."""

import sys

import pytest
import torch

from benchmarks.scot import original_network
from tests.poseidon.small import small_network

# A package with the names and the call of the original; its config takes published settings only.
MODEL = """
from types import SimpleNamespace
from sciml.poseidon import ScOT as Network, ScOTConfig as Settings

def ScOTConfig(**settings):
    assert not {"initial_norm_scale", "resolution", "periodic_windows"} & settings.keys()
    return Settings(**settings)

class ScOT(Network):
    def forward(self, pixel_values=None, time=None):
        return SimpleNamespace(output=super().forward(pixel_values, time))
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "scOT").mkdir()
    (tmp_path / "scOT" / "__init__.py").touch()
    (tmp_path / "scOT" / "model.py").write_text(MODEL)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("scOT", "scOT.model"):
        sys.modules.pop(name, None)


def test_the_original_gets_the_same_settings_and_weights(checkout):
    net, fields, times = small_network(), torch.randn(2, 2, 16, 16), torch.tensor([0.3, 0.8])
    reference = original_network(checkout, net).eval()
    with torch.no_grad():
        assert torch.equal(reference(pixel_values=fields, time=times).output, net(fields, times))
