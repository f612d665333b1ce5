"""A whole model of long sequences: encoder, blocks of state-space layers, pooling, head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor, nn

from sciml.errors import CheckpointError, ConfigError, ShapeError
from sciml.model_folder import read_model, write_model
from sciml.ssm.blocks import NORMS, SequenceBlock
from sciml.ssm.checks import checked_lengths
from sciml.ssm.config import SequenceConfig
from sciml.ssm.heads import Continuous, PairHead, Pixels, Tokens, pool
from sciml.ssm.s4 import S4
from sciml.ssm.s4d import S4D, S4PTD
from sciml.ssm.s5 import S5, S5PTD

LAYERS: dict[str, Callable[..., nn.Module]] = {"s4": S4, "s4d": S4D, "s4_ptd": S4PTD, "s5": S5, "s5_ptd": S5PTD}
TASKS = ("classification", "regression", "sequence", "retrieval")

State = list[Complex[Tensor, "batch *state"]]


class SequenceModel(nn.Module):
    """Maps long sequences to classes, values or sequences: encoder, residual blocks, pooling over time, head.

    Padded batches give what each sequence gives alone. A model with ``pooling="none"`` and causal layers also runs step
    by step, or chunk by chunk, at constant memory.

    Args:
        config: Architecture.
        make_layer: Makes the layer of a block from the number of features, in place of ``config.layer``. Such a model
            is loaded again with ``sciml.load(folder, make_layer=...)``.

    Raises:
        ConfigError: there is no such layer, or it cannot have these options.

    Example:
        >>> model = SequenceModel(SequenceConfig(inputs=3, outputs=10, layer="s5_ptd"))
        >>> logits = model(torch.randn(8, 1024, 3), lengths=torch.full((8,), 1000))

    Reference:
        arXiv:2111.00396 (S4), arXiv:2208.04933 (S5), arXiv:2310.01698 (perturb-then-diagonalise).
    """

    def __init__(self, config: SequenceConfig, *, make_layer: Callable[[int], nn.Module] | None = None):
        super().__init__()
        self.config = config
        features = config.features
        encoders = {"tokens": Tokens, "continuous": Continuous, "pixels": Pixels}
        padding = {"padding": config.padding} if config.encoder == "tokens" else {}
        self.encoder = encoders[config.encoder](config.inputs, features, **padding)
        self.blocks = nn.ModuleList(
            SequenceBlock(
                make_layer(features) if make_layer else _named_layer(config),
                features,
                norm=config.norm,
                prenorm=config.prenorm,
                activation=config.activation,
                dropout=config.dropout,
            )
            for _ in range(config.layers)
        )
        # Not batch norm: the mean over time of a feature that is normalised over time tells sequences apart badly.
        self.norm = NORMS["layer"](features) if config.prenorm and config.norm == "layer" else None
        self.head = PairHead(features, config.outputs) if config.pairs else nn.Linear(features, config.outputs)

    def forward(
        self,
        inputs: Tensor,
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        steps: Float[Tensor, "batch length"] | None = None,
        inputs2: Tensor | None = None,
        lengths2: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch *length output"]:
        """Logits, or values, of a padded batch of sequences.

        Args:
            inputs: Signals of shape (batch, length, input), tokens of shape (batch, length) or images of shape (batch,
                channel, height, width).
            lengths: Valid steps of each sequence, shape (batch,); None: all.
            steps: Time since the last step relative to the mean, shape (batch, length), for irregular times (S5).
            inputs2: The sequences to compare with, for a model of pairs.
            lengths2: Their valid steps.

        Returns:
            Shape (batch, output); with ``pooling="none"`` (batch, length, output), zero beyond each length.

        Raises:
            ShapeError: inputs or lengths do not fit the model.
            ConfigError: ``steps`` came for a layer that cannot use them.
        """
        if self.config.pairs:
            if inputs2 is None:
                raise ShapeError("one batch of sequences came; this model compares pairs: give inputs2 as well.")
            return self.head(self._pooled(inputs, lengths, steps), self._pooled(inputs2, lengths2, None))
        if self.config.pooling != "none":
            return self.head(self._pooled(inputs, lengths, steps))
        x, mask, _ = self._encode(inputs, lengths, steps)
        outputs = self.head(x)
        return outputs if mask is None else outputs.masked_fill(~mask[..., None], 0)

    def initial_state(self, batch: int) -> State:
        """The zero state of every layer, for ``stream`` and ``step``.

        Raises:
            ConfigError: the model does not run step by step.
        """
        self._check_causal()
        return [block.layer.initial_state(batch) for block in self.blocks]  # type: ignore[operator, union-attr]

    def stream(
        self, inputs: Tensor, state: State, *, steps: Float[Tensor, "batch length"] | None = None
    ) -> tuple[Float[Tensor, "batch length output"], State]:
        """Outputs of the next part of sequences; parts in a row give what the whole gives.

        Args:
            inputs: The next steps of each sequence, shape (batch, length, input) or (batch, length).
            state: Of ``initial_state``, or what the part before has left.
            steps: As in ``forward``.

        Returns:
            Outputs of shape (batch, length, output), and the state to go on with.
        """
        self._check_causal()
        x, _, state = self._encode(inputs, None, steps, state)
        return self.head(x), state

    def step(
        self, inputs: Tensor, state: State, *, steps: Float[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch output"], State]:
        """Output of the next step of sequences; all steps in a row give what the whole gives.

        Many steps are several times faster within ``frozen(model)``.

        Args:
            inputs: One step of each sequence, shape (batch, input) or, tokens, (batch,).
            state: Of ``initial_state``, or what the step before has left.
            steps: As in ``forward``, shape (batch,).

        Returns:
            Outputs of shape (batch, output), and the state to go on with.

        Raises:
            ConfigError: the model does not run step by step, or is in training mode.
        """
        self._check_causal()
        if self.training:
            raise ConfigError(
                "step() came in training mode, where norms and dropout need sequences. Call eval() first."
            )
        x, left = self.encoder(inputs), []
        options = {} if steps is None else {"step_scale": self._checked(steps, x)}
        for block, before in zip(self.blocks, state, strict=True):
            x, after = block.step(x, before, **options)  # type: ignore[operator]
            left.append(after)
        return self.head(x if self.norm is None else self.norm(x[:, None])[:, 0]), left

    def _pooled(self, inputs: Tensor, lengths: Tensor | None, steps: Tensor | None) -> Float[Tensor, "batch feature"]:
        x, mask, _ = self._encode(inputs, lengths, steps)
        return pool(x, self.config.pooling, lengths, mask)

    def _encode(
        self, inputs: Tensor, lengths: Tensor | None, steps: Tensor | None, state: State | None = None
    ) -> tuple[Float[Tensor, "batch length feature"], Bool[Tensor, "batch length"] | None, State]:
        """Features of every step, which steps are valid, and the state that each layer is left in."""
        x = self.encoder(inputs)
        if x.ndim != 3:
            raise ShapeError(f"inputs of shape {tuple(inputs.shape)} came; a batch of sequences is expected.")
        mask = None if lengths is None else _mask(lengths, x)
        options = {} if steps is None else {"step_scale": self._checked(steps, x)}
        left = []
        for i, block in enumerate(self.blocks):
            x, after = block(x, lengths, mask, state[i] if state else None, **options)
            left.append(after)
        return (x if self.norm is None else self.norm(x, mask)), mask, left

    def _checked(self, steps: Tensor, x: Tensor) -> Tensor:
        if not isinstance(self.blocks[0].layer, S5):
            raise ConfigError(
                "time steps came for every step of the sequences, but this layer knows one time step only. Use "
                "layer='s5_ptd' or 's5' for irregular times."
            )
        if steps.shape != x.shape[:-1]:
            raise ShapeError(
                f"time steps of shape {tuple(steps.shape)} came; one for every step of the sequences, shape "
                f"{tuple(x.shape[:-1])}, is expected."
            )
        return steps

    def _check_causal(self) -> None:
        if self.config.pooling != "none":
            raise ConfigError(
                f"this model pools (pooling={self.config.pooling!r}) over whole sequences. One that runs step by step "
                "has pooling='none'."
            )
        if any(getattr(block.layer, "bidirectional", False) for block in self.blocks):
            raise ConfigError("bidirectional layers need whole sequences. A model that runs step by step has none.")

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters by how they are trained.

        Returns:
            Of the state-space layers ``eigenvalues``, ``step``, ``input``, ``output`` and ``skip`` (A, dt, B, C and D);
            of the rest ``norm``, ``weights`` and ``no_decay`` (biases).
        """
        groups: dict[str, list[nn.Parameter]] = {
            role: [] for role in ("eigenvalues", "step", "input", "output", "skip", "norm", "weights", "no_decay")
        }
        for block in self.blocks:
            for role, parameters in block.layer.parameter_groups().items():  # type: ignore[operator, union-attr]
                groups[role].extend(parameters)
        seen = {id(parameter) for parameters in groups.values() for parameter in parameters}
        for module in self.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if id(parameter) not in seen:
                    role = "norm" if isinstance(module, tuple(NORMS.values())) else "weights"
                    groups["no_decay" if role == "weights" and "bias" in name else role].append(parameter)
        return {role: [p for p in parameters if p.requires_grad] for role, parameters in groups.items()}

    def save_pretrained(self, folder: str | Path, *, extra: Mapping[str, Any] | None = None) -> Path:
        """Write ``config.json`` and ``model.safetensors``, which ``sciml.load`` reads.

        Args:
            folder: Where to write; made if it does not exist.
            extra: What else a user of the weights needs, kept under the key ``sciml`` of ``config.json``.
        """
        return write_model(folder, self.config.to_dict(), self.state_dict(), extra=extra)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, make_layer: Callable[[int], nn.Module] | None = None
    ) -> SequenceModel:
        """Load what ``save_pretrained`` wrote; the network is in evaluation mode.

        Args:
            folder: Where it was written.
            make_layer: As the model was made with.

        Raises:
            CheckpointError: nothing is there, or it is not a sequence model, or its weights do not fit its config.
        """
        content, weights = read_model(folder)
        if content.get("model_type") != "sequence":
            raise CheckpointError(
                f"{folder} holds a model of type {content.get('model_type')!r}; 'sequence' is expected. "
                "sciml.load(folder) loads a model of any type."
            )
        net = cls(SequenceConfig.from_dict(content), make_layer=make_layer)
        try:
            net.load_state_dict(weights)
        except RuntimeError as error:
            first = " ".join(str(error).splitlines()[1].split())
            raise CheckpointError(
                f"the weights in {folder} do not fit their config.json ({first}). Save the model again, or give the "
                "make_layer it was made with."
            ) from error
        return net.eval()


def build_sequence_model(
    *, task: str, encoder: str, inputs: int, outputs: int, pooling: str = "mean", **settings: Any
) -> SequenceModel:
    """A sequence model with random weights that fits a data set.

    Args:
        task: ``classification``, ``regression``, ``sequence`` (an output at every step) or ``retrieval`` (of pairs).
        encoder: What the data are: ``continuous``, ``tokens`` or ``pixels``.
        inputs: Values measured at every step, or the number of different tokens.
        outputs: Number of classes, or of predicted values.
        pooling: ``mean`` or ``last`` of the valid steps; not used for the task ``sequence``.
        settings: Further fields of ``SequenceConfig``.

    Raises:
        ConfigError: a setting is wrong.
    """
    if task not in TASKS:
        raise ConfigError(f"task is {task!r}; {', '.join(TASKS)} is expected.")
    return SequenceModel(
        SequenceConfig(
            encoder=encoder,
            inputs=inputs,
            outputs=outputs,
            pooling="none" if task == "sequence" else pooling,
            pairs=task == "retrieval",
            **settings,
        )
    )


def _named_layer(config: SequenceConfig) -> nn.Module:
    if config.layer not in LAYERS:
        raise ConfigError(f"layer is {config.layer!r}; {', '.join(LAYERS)} is expected.")
    try:
        return LAYERS[config.layer](config.features, **config.layer_options)
    except TypeError as error:
        raise ConfigError(
            f"layer={config.layer!r} cannot be made with {dict(config.layer_options)}: {error}."
        ) from error


def _mask(lengths: Tensor, x: Tensor) -> Bool[Tensor, "batch length"]:
    """True at the valid steps of each sequence."""
    lengths = checked_lengths(lengths, x)
    if not (lengths > 0).all():
        raise ShapeError("a sequence of length 0 came; at least 1 step is expected. Leave out empty sequences.")
    return torch.arange(x.shape[1], device=x.device) < lengths[:, None]
