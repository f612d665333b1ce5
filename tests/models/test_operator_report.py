from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.operator_report import ForecastErrors, masked_error
from sciml.data.normalise import Normaliser
from sciml.data.spec import FieldSpec
from sciml.metrics import relative_error

SLICES = (0, 1, 2)


@pytest.fixture
def fields():
    return torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0)).double().unbind(1)[:2]


def test_masked_points_do_not_count_whatever_is_predicted_there(fields):
    prediction, target = fields
    mask = torch.zeros_like(target, dtype=torch.bool)
    mask[:, :, 1:] = True
    expected = relative_error(prediction[:, :, :1], target[:, :, :1], slices=SLICES)
    wrong = prediction.masked_fill(mask, 1e6)
    torch.testing.assert_close(masked_error(wrong, target, slices=SLICES, mask=mask), expected)


def test_a_channel_of_which_nothing_counts_has_no_error(fields):
    prediction, target = fields
    mask = torch.tensor([[False, True], [False, False]])
    error = masked_error(prediction, target, slices=SLICES, mask=mask)
    assert error.isnan().tolist() == [[False, True], [False, False]]
    free = relative_error(prediction, target, slices=SLICES)
    torch.testing.assert_close(error[~error.isnan()], free[~error.isnan()])


def test_errors_and_pictures_of_forecasts_leave_the_land_out(fields):
    prediction, target = (field[:, None, :1].float() for field in fields)
    mask = torch.zeros_like(target, dtype=torch.bool)
    mask[..., 2:] = True
    field = FieldSpec("sst", mean=300.0, std=2.0)
    data = SimpleNamespace(
        fields_out=(field,), normaliser_out=Normaliser.from_fields([field]), carried=lambda fields: fields
    )
    errors = ForecastErrors(data=data, slices=(0, 1))
    batch = {"fields": target[:, 0], "targets": target, "mask": mask}
    errors.add_forecasts(batch, {"direct": prediction.masked_fill(mask, 1e6), "climatology": prediction})
    assert errors.final("direct") == errors.final("climatology")
    squared = (2.0 * (prediction - target)[..., :2]).square().mean(dim=(3, 4))
    # float32 at 300: differences of 2 K are good to 3e-5.
    torch.testing.assert_close(errors.squared["direct"][0], squared, rtol=1e-3, atol=1e-4)
    for sample in errors.samples:
        assert all(
            np.isnan(picture[..., 2:]).all() and not np.isnan(picture[..., :2]).any() for picture in sample.values()
        )
