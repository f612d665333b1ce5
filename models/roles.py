"""Learning rate and weight decay of a sequence model's parameters by their role, as published with S4 and S5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from sciml.errors import ConfigError

# By role: which of the two learning rates, and whether it is decayed. What is not listed is ("rest", True).
_SSM, _SSM_DECAYED, _REST = ("ssm", False), ("ssm", True), ("rest", False)
_LAYER = {"eigenvalues": _SSM, "step": _SSM}
_ALWAYS = {"no_decay": _REST}

RECIPES: dict[str, dict[str, tuple[str, bool]]] = {
    # S4 and S4D: A, B and the time step learn slowly and are not decayed.
    "s4": {**_LAYER, "input": _SSM, "norm": _REST, **_ALWAYS},
    # S4-PTD as published: the same, decayed.
    "s4_ptd": {"eigenvalues": _SSM_DECAYED, "step": _SSM_DECAYED, "input": _SSM_DECAYED, "norm": _REST, **_ALWAYS},
    # The four of S5, under their own names.
    "standard": {**_LAYER, "input": _SSM, "norm": _SSM, **_ALWAYS},
    "BandCdecay": {**_LAYER, "input": _SSM_DECAYED, "norm": _SSM, **_ALWAYS},
    "BfastandCdecay": {**_LAYER, "norm": _SSM, **_ALWAYS},
    "noBCdecay": {**_LAYER, "input": _SSM, "output": _SSM, "skip": _SSM, "norm": _SSM, **_ALWAYS},
}


def optimiser_groups(
    net: nn.Module,
    *,
    recipe: str,
    learning_rate: float,
    ssm_learning_rate: float,
    weight_decay: float,
    dt_global: bool = False,
    rates: Mapping[str, float] | None = None,
    decays: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """The trained parameters of a network by role, with their learning rates and weight decay.

    Args:
        net: The network; ``net.parameter_groups()`` gives the roles.
        recipe: A key of ``RECIPES``.
        learning_rate: Of encoder, head and mixing layers, and where the recipe says so of B and C.
        ssm_learning_rate: Of the state-space parameters; a quarter of ``learning_rate`` and less, at most 1e-3.
        weight_decay: Of what is decayed.
        dt_global: Whether the time step learns and decays like the rest, not like A.
        rates: Learning rates by role, in place of the recipe's.
        decays: Weight decay by role, in place of the recipe's.

    Returns:
        Groups for an optimiser, each with the ``name`` of its role.

    Raises:
        ConfigError: there is no such recipe or role.
    """
    if recipe not in RECIPES:
        raise ConfigError(f"model.roles is {recipe!r}; {', '.join(RECIPES)} is expected.")
    table = RECIPES[recipe] | ({"step": ("rest", True)} if dt_global else {})
    by_role = net.parameter_groups()  # type: ignore[operator]
    unknown = sorted({*(rates or {}), *(decays or {})} - by_role.keys())
    if unknown:
        raise ConfigError(
            f"model.rates or model.decays names the role {', '.join(unknown)}; the network has {', '.join(by_role)}."
        )
    groups = []
    for role, parameters in by_role.items():
        which, decayed = table.get(role, ("rest", True))
        rate = (rates or {}).get(role, ssm_learning_rate if which == "ssm" else learning_rate)
        decay = (decays or {}).get(role, weight_decay if decayed else 0.0)
        if parameters:
            groups.append({"name": role, "params": parameters, "lr": rate, "weight_decay": decay})
    return groups
