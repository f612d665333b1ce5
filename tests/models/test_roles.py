"""Learning rates and weight decay by role are those that were published."""

import pytest
from torch import nn

from models.roles import RECIPES, optimiser_groups
from sciml.errors import ConfigError

ROLES = ("eigenvalues", "step", "input", "output", "skip", "norm", "weights", "no_decay")
REST, SSM, DECAY = 4e-3, 1e-3, 0.05
# Recipe: roles at the rate of the state-space parameters, and roles that are not decayed.
PUBLISHED = {
    "s4": ({"eigenvalues", "step", "input"}, {"eigenvalues", "step", "input", "norm", "no_decay"}),
    "s4_ptd": ({"eigenvalues", "step", "input"}, {"norm", "no_decay"}),
    "standard": ({"eigenvalues", "step", "input", "norm"}, {"eigenvalues", "step", "input", "norm", "no_decay"}),
    "BandCdecay": ({"eigenvalues", "step", "input", "norm"}, {"eigenvalues", "step", "norm", "no_decay"}),
    "BfastandCdecay": ({"eigenvalues", "step", "norm"}, {"eigenvalues", "step", "norm", "no_decay"}),
    "noBCdecay": (
        {"eigenvalues", "step", "input", "output", "skip", "norm"},
        {"eigenvalues", "step", "input", "output", "skip", "norm", "no_decay"},
    ),
}


class Net(nn.Module):
    def parameter_groups(self):
        return {role: [nn.Parameter()] for role in ROLES} | {"empty": []}


def groups(recipe, **settings):
    found = optimiser_groups(
        Net(), recipe=recipe, learning_rate=REST, ssm_learning_rate=SSM, weight_decay=DECAY, **settings
    )
    return {group["name"]: (group["lr"], group["weight_decay"]) for group in found}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_as_published(recipe):
    slow, undecayed = PUBLISHED[recipe]
    expected = {role: (SSM if role in slow else REST, 0.0 if role in undecayed else DECAY) for role in ROLES}
    assert groups(recipe) == expected


def test_the_time_step_can_learn_like_the_rest():
    assert groups("standard", dt_global=True)["step"] == (REST, DECAY)


def test_single_roles_can_be_set():
    found = groups("s4", rates={"output": 2e-3}, decays={"input": 0.01})
    assert found["output"] == (2e-3, DECAY)
    assert found["input"] == (SSM, 0.01)


def test_unknown_names_are_listed():
    with pytest.raises(ConfigError, match=r"model\.roles is 's6'; s4, s4_ptd, standard"):
        groups("s6")
    with pytest.raises(ConfigError, match="the role A; the network has eigenvalues"):
        groups("s4", rates={"A": 1.0})
