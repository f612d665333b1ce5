import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.operator_report import ForecastErrors, masked_error, rival_of, write_errors
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


@pytest.fixture
def compared():
    """Forecasts of two lead times of u and p, each wrong by a known part of the truth."""
    truth = torch.randn(3, 2, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    channels = (FieldSpec("u", mean=0.0, std=1.0), FieldSpec("p", mean=0.0, std=1.0))
    data = SimpleNamespace(
        fields_out=channels,
        normaliser_out=Normaliser.from_fields(channels),
        carried=lambda fields: fields,
        forecast_times=np.array([0.5, 1.0]),
        spec=SimpleNamespace(steady=False, boundary=("periodic", "periodic")),
    )
    errors = ForecastErrors(data=data, slices=SLICES)
    parts = {"direct": 0.1, "autoregressive": 0.3, "persistence": 0.5, "fno, direct": 0.2, "fno, autoregressive": 0.4}
    batch = {"fields": truth[:, 0], "targets": truth}
    errors.add_forecasts(batch, {name: (1 + part) * truth for name, part in parts.items()})
    return errors


def test_the_headline_names_rivals_and_baselines_once(compared):
    assert compared.headline() == (
        "Median relative L1 error of u and p at t = 1: 0.100 (autoregressive 0.300), 0.20 of the persistence "
        "forecast's 0.500, 0.50 of fno's 0.200, over 3 test trajectories."
    )


def test_forecasts_of_rivals_are_told_from_baselines():
    names = ["direct", "autoregressive", "persistence", "mean", "from scratch, direct", "a, b, autoregressive"]
    assert [rival_of(name) for name in names] == ["", "", "", "", "from scratch", "a, b"]


def test_every_measure_of_every_forecast_is_written(compared, tmp_path):
    write_errors(compared, tmp_path / "errors.csv")
    with (tmp_path / "errors.csv").open() as file:
        rows = {
            (row["forecast"], row["measure"], float(row["lead_time"]), row["of"]): float(row["median"])
            for row in csv.DictReader(file)
        }
    measures = {measure for _, measure, _, _ in rows}
    assert {"relative L1", "relative L1, physical", "relative L2", "VRMSE", "nRMSE", "nRMSE, low"} <= measures
    assert len(rows) == len(compared.methods) * len(measures) * 2 * 2
    # A forecast that is too large by a tenth is wrong by a tenth in every measure that is relative to the truth.
    for measure in ("relative L1", "relative L2", "nRMSE"):
        for time in (0.5, 1.0):
            assert rows["direct", measure, time, "p"] == pytest.approx(0.1, rel=1e-5)
            assert rows["fno, direct", measure, time, "u"] == pytest.approx(0.2, rel=1e-5)
