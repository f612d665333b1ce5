"""Monthly sea-surface temperature as windows of months, made from the sample data at the first run."""

from __future__ import annotations

from typing import Any

from datamodules.trajectories import TrajectoryData
from sciml.data.pairs import split
from sciml.data.spec import TrajectorySpec
from sciml.data.sst import write_sst


class SeaSurfaceTemperature(TrajectoryData):
    """Windows of consecutive months (``sciml.data.sst``); the climatology of the training months is a baseline.

    Args:
        path: File of the windows, made if it is missing.
        size: Grid points in longitude and latitude.
        ahead: Months to look ahead.
        validation_months: Months set aside for validation.
        test_months: The last months, set aside for the test.
        settings: Of ``TrajectoryData``. ``validation`` and ``test`` take fewer windows of those months.

    Raises:
        ConfigError: the package with the data is not installed, or there are too few months.
    """

    def __init__(
        self,
        path: str,
        *,
        size: tuple[int, int] = (128, 16),
        ahead: int = 3,
        validation_months: int = 6,
        test_months: int = 12,
        **settings: Any,
    ):
        super().__init__(path, **settings)
        self.making: dict[str, Any] = {
            "size": (size[0], size[1]),
            "ahead": ahead,
            "validation_months": validation_months,
            "test_months": test_months,
        }

    def prepare_data(self) -> None:
        """Make the file if it is missing."""
        if not self.path.exists():
            write_sst(self.path, **self.making)

    def _split(self, spec: TrajectorySpec) -> tuple[range, range, range]:
        # Windows of neighbouring months overlap: only the file knows where they may be cut.
        train, validation, test = split(len(self.source), validation=spec.validation or 0, test=spec.test or 0)
        return train, validation[: self.validation], test[: self.test]
