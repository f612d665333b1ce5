"""Fourier neural operator: a few global convolutions in Fourier space, conditioned on the lead time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.baselines.spectral import SpectralConv
from sciml.data.spec import FieldSpec
from sciml.errors import CheckpointError, ConfigError, ShapeError
from sciml.model_folder import read_model, write_model
from sciml.residual import add_residual, check_residual, residual_channels

Fields = Float[Tensor, "batch channel height width"]
LeadTime = Float[Tensor, " batch"]
Scalars = Float[Tensor, "batch scalar"]


@dataclass(frozen=True, kw_only=True)
class FNOConfig:
    """Architecture of a Fourier neural operator.

    Args:
        num_channels: Channels of the input fields.
        num_out_channels: Channels of the predicted fields.
        width: Channels of the hidden fields. Good values: 32 to 96.
        modes: Wavenumbers 0, ..., modes - 1 are kept along either axis. At most half the grid; good values: 12 to 20.
        layers: Number of Fourier layers. Good values: 4 or 5.
        projection: Width of the hidden layer that turns hidden fields into predictions.
        coordinates: Whether the grid coordinates are two more input channels, as published. Without them the network
            commutes with translations, which is right on periodic domains.
        learn_residual: Whether the input is added to the prediction.
        residual_channels: Input channel that is added to each predicted one, None for none; None instead of a list:
            input j for prediction j.
        scalars: Names of parameters of the equation that are read as constant input channels; normalised numbers.

    Raises:
        ConfigError: a number is not positive, or the residual does not fit the channels.
    """

    num_channels: int = 1
    num_out_channels: int = 1
    width: int = 32
    modes: int = 16
    layers: int = 4
    projection: int = 128
    coordinates: bool = False
    learn_residual: bool = False
    residual_channels: tuple[int | None, ...] | None = None
    scalars: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "scalars", tuple(self.scalars))
        if self.residual_channels is not None:
            object.__setattr__(self, "residual_channels", tuple(self.residual_channels))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and (not isinstance(value, int) or value < 1):
                raise ConfigError(f"{field.name} is {value!r}; a whole number of at least 1 is expected.")
        if self.learn_residual:
            counts = {"channels_in": self.num_channels, "channels_out": self.num_out_channels}
            check_residual(self.residual_channels, **counts)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FNOConfig:
        """Read the content of a ``config.json``; keys that an FNO does not know are left out."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    def to_dict(self) -> dict[str, Any]:
        """The content of a ``config.json``."""
        settings = {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}
        return {"architectures": ["FNO"], "model_type": "fno", **settings}


class FourierLayer(nn.Module):
    """A spectral and a pointwise convolution, conditioned on the lead time.

    x -> (1 + a(t)) (K x + W x + b) + c(t), where a and c are affine in the lead time t.
    """

    def __init__(self, width: int, modes: int):
        super().__init__()
        self.spectral = SpectralConv(width, width, modes)
        self.pointwise = nn.Conv2d(width, width, 1)
        self.condition = nn.Linear(1, 2 * width)
        nn.init.zeros_(self.condition.weight)  # training starts from a plain FNO, which ignores the lead time
        nn.init.zeros_(self.condition.bias)

    def forward(self, x: Fields, lead_time: LeadTime) -> Fields:
        """Map (batch, width, height, width of the grid) to the same shape."""
        scale, shift = self.condition(lead_time[:, None])[..., None, None].chunk(2, dim=1)
        return torch.addcmul(shift, 1 + scale, self.spectral(x) + self.pointwise(x))


class FNO(nn.Module):
    """Fourier neural operator: predicts fields after a lead time, for any lead time in [0, 1], on any grid.

    Pointwise lifting to ``width`` channels, Fourier layers with GELU between them, pointwise projection. Its weights do
    not know the grid: the same network runs on every grid that resolves its modes.

    Args:
        config: Architecture.

    Raises:
        ShapeError: fields or lead times do not fit the network, or the grid is too coarse.

    Reference:
        arXiv:2010.08895; conditioned on the lead time as scOT is (arXiv:2405.19101, section 2).
    """

    def __init__(self, config: FNOConfig):
        super().__init__()
        self.config = config
        inputs = config.num_channels + len(config.scalars) + 2 * config.coordinates
        self.lifting = nn.Conv2d(inputs, config.width, 1)
        self.layers = nn.ModuleList(FourierLayer(config.width, config.modes) for _ in range(config.layers))
        self.projection = nn.Sequential(
            nn.Conv2d(config.width, config.projection, 1),
            nn.GELU(),
            nn.Conv2d(config.projection, config.num_out_channels, 1),
        )

    def forward(self, fields: Fields, lead_time: LeadTime | float, scalars: Scalars | None = None) -> Fields:
        """Predict the fields after a lead time.

        Args:
            fields: Normalised fields, shape (batch, num_channels, height, width).
            lead_time: Lead time in units of the whole trajectory, shape (batch,) or one number; [0, 1].
            scalars: Normalised scalars in the order of ``config.scalars``, shape (batch, scalar); None if there are
                none.

        Returns:
            Normalised fields, shape (batch, num_out_channels, height, width).
        """
        lead_time = self._check(fields, lead_time, scalars)
        inputs = [fields]
        if scalars is not None:
            inputs.append(scalars.to(fields)[..., None, None].expand(-1, -1, *fields.shape[-2:]))
        if self.config.coordinates:
            inputs.append(_coordinates(fields))
        x = self.lifting(torch.cat(inputs, dim=1))
        for i, layer in enumerate(self.layers):
            x = layer(nn.functional.gelu(x) if i else x, lead_time)
        prediction = self.projection(x)
        if not self.config.learn_residual:
            return prediction
        return add_residual(prediction, fields, self.config.residual_channels)

    def _check(self, fields: Tensor, lead_time: Tensor | float, scalars: Tensor | None) -> Tensor:
        expected = self.config.num_channels
        if fields.ndim != 4 or fields.shape[1] != expected:
            raise ShapeError(
                f"fields of shape {tuple(fields.shape)} came; (batch, {expected}, height, width) is expected. Name "
                f"the {expected} channels that this network was made for with data.channels=[...]; one sample needs a "
                "batch axis: fields[None]."
            )
        lead_time = torch.as_tensor(lead_time, dtype=fields.dtype, device=fields.device)
        lead_time = lead_time.expand(fields.shape[0]) if lead_time.ndim == 0 else lead_time
        if lead_time.shape != fields.shape[:1]:
            raise ShapeError(
                f"lead times of shape {tuple(lead_time.shape)} came for a batch of {fields.shape[0]} fields; "
                "one number per sample, or one for all, is expected."
            )
        names = self.config.scalars
        if (scalars is None) != (not names) or (scalars is not None and scalars.shape != (len(fields), len(names))):
            came = "none" if scalars is None else f"some of shape {tuple(scalars.shape)}"
            raise ShapeError(
                f"the network reads the scalars {', '.join(names) or '(none)'}, but {came} came for a batch of "
                f"{len(fields)}; shape ({len(fields)}, {len(names)}) is expected. Give it normalised scalars, from "
                "data with the same data.scalars=[NAMES] as in its training."
            )
        return lead_time

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters by how they are trained.

        Returns:
            ``backbone`` (decayed), ``time_embedding`` (not decayed: what depends on the lead time) and ``no_decay``
            (biases).
        """
        groups: dict[str, list[nn.Parameter]] = {"backbone": [], "time_embedding": [], "no_decay": []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                kind = "time_embedding" if ".condition." in name else "no_decay" if "bias" in name else "backbone"
                groups[kind].append(parameter)
        return groups

    def save_pretrained(self, folder: str | Path, *, extra: Mapping[str, Any] | None = None) -> Path:
        """Write ``config.json`` and ``model.safetensors``, which ``sciml.load`` reads.

        Args:
            folder: Where to write; made if it does not exist.
            extra: What else a user of the weights needs, kept under the key ``sciml`` of ``config.json``.
        """
        return write_model(folder, self.config.to_dict(), self.state_dict(), extra=extra)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> FNO:
        """Load what ``save_pretrained`` wrote; the network is in evaluation mode.

        Raises:
            CheckpointError: nothing is there, or it is not an FNO, or its weights do not fit its config.
        """
        content, weights = read_model(folder)
        if content.get("model_type") != "fno":
            raise CheckpointError(
                f"{folder} holds a model of type {content.get('model_type')!r}; 'fno' is expected. sciml.load(folder) "
                "loads a model of any type."
            )
        net = cls(FNOConfig.from_dict(content))
        try:
            net.load_state_dict(weights)
        except RuntimeError as error:
            first = " ".join(str(error).splitlines()[1].split())
            raise CheckpointError(
                f"the weights in {folder} do not fit their config.json ({first}). Save the model again."
            ) from error
        return net.eval()


def build_fno(
    fields_in: Sequence[FieldSpec],
    fields_out: Sequence[FieldSpec],
    shape: tuple[int, ...],
    *,
    scalars: Sequence[FieldSpec] = (),
    **settings: Any,
) -> FNO:
    """An FNO, with random weights, whose channels and scalars are those of the data.

    Args:
        fields_in: Fields that the network reads.
        fields_out: Fields that it predicts.
        shape: Grid points of the fields, (height, width).
        scalars: Scalars that it reads as constant input channels.
        settings: Fields of ``FNOConfig``.

    Raises:
        ConfigError: the data are not two-dimensional, or their grid does not resolve the modes.
    """
    if len(shape) != 2:
        raise ConfigError(f"the fields have {len(shape)} spatial axes {shape}; this FNO works on 2.")
    config = FNOConfig(
        num_channels=len(fields_in),
        num_out_channels=len(fields_out),
        scalars=tuple(scalar.name for scalar in scalars),
        residual_channels=residual_channels([f.name for f in fields_in], [f.name for f in fields_out]),
        **settings,
    )
    most = (min(shape) + 1) // 2
    if config.modes > most:
        raise ConfigError(
            f"modes is {config.modes}, but the fields of {shape[0]}x{shape[1]} points resolve {most}. "
            f"Set modes={most} or less."
        )
    return FNO(config)


def _coordinates(fields: Fields) -> Float[Tensor, "batch 2 height width"]:
    """Coordinates of the grid points i / n, shifted to [-1, 1)."""
    axes = [2 * torch.arange(n, dtype=fields.dtype, device=fields.device) / n - 1 for n in fields.shape[-2:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(fields.shape[0], -1, -1, -1)
