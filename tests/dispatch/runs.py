"""Small simulations that several tests look at."""

from dataclasses import replace

import numpy as np
import torch

from sciml.dispatch.cuts import Cuts
from sciml.dispatch.inflow_models import openings_to_inflows, sample_openings
from sciml.dispatch.rules import TargetRule


def inflows(case, *, scenarios=3, stages=4, seed=0):
    """(scenario, stage, plant), m3/s."""
    return openings_to_inflows(case, sample_openings(case, scenarios, stages, np.random.default_rng(seed)))


def rule(case, *, stages=4, seed=0, **settings):
    """An untrained rule that nevertheless says something else at every stage and volume."""
    torch.manual_seed(seed)
    made = TargetRule.for_case(case, stages=stages, **settings)
    with torch.no_grad():
        for weight in made.network.parameters():
            weight.mul_(3)
    return made


def one_cut(case, *, stages=4, worth=400.0):
    """Cuts by which every hm3 is worth as much, $, at the end of every stage but the last."""
    cuts = Cuts(case.plants.names, [np.ones(1)] * (stages - 1) + [np.zeros(0)])
    plants = len(case.plants.names)
    full = worth * case.plants.volume_max.sum()
    for stage in range(stages - 1):
        cuts.append(
            stage, np.array([full]), np.full((1, plants), -worth), np.zeros(1, dtype=int), np.zeros((1, plants))
        )
    return cuts


def transformed(case):
    """The case with taps, a phase shift, line charging and shunts, none of which cancel."""
    branches, buses = case.branches, case.buses
    number = len(branches.names)
    tap, shift = np.ones(number), np.zeros(number)
    tap[[1, 5]], shift[[1, 7]] = (1.03, 0.98), (0.02, -0.03)
    shunts = np.linspace(0, 0.04, len(buses.names))
    return replace(
        case,
        branches=replace(branches, tap=tap, shift=shift, charging_start=2 * branches.charging_start),
        buses=replace(buses, conductance=shunts, susceptance=shunts[::-1].copy()),
    )
