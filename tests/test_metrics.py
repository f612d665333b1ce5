import numpy as np
import pytest
import torch

from sciml.metrics import relative_error


def test_relative_l1_of_a_hand_example():
    # Channel 0: |1-2| + |2-2| over |2| + |2| = 1/4. Channels 1 and 2: (1 + 0) + (0 + 3) over (1 + 1) + (2 + 4) = 1/2.
    target = torch.tensor([[[2.0, 2.0], [1.0, 1.0], [2.0, 4.0]]])
    prediction = torch.tensor([[[1.0, 2.0], [2.0, 1.0], [2.0, 1.0]]])
    error = relative_error(prediction, target, slices=(0, 1, 3))
    assert error.tolist() == [[0.25, 0.5]]


def test_relative_l2_of_a_hand_example():
    target, prediction = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[0.0, 0.0]]])
    assert relative_error(prediction, target, p=2).item() == pytest.approx(1.0)
    assert relative_error(prediction + torch.tensor([3.0, 0.0]), target, p=2).item() == pytest.approx(0.8)


def test_every_sample_has_its_own_error_in_any_dimension():
    target = torch.ones(3, 2, 4, 5, 6)
    scale = torch.tensor([1.0, 1.5, 0.0]).reshape(3, 1, 1, 1, 1)
    np.testing.assert_allclose(relative_error(target * scale, target)[:, 0], [0.0, 0.5, 1.0])


def test_a_vanishing_target_gives_a_large_but_finite_error():
    error = relative_error(torch.ones(1, 1, 4), torch.zeros(1, 1, 4))
    assert error.item() == pytest.approx(4e10)
