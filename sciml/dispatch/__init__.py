"""Dispatch of hydrothermal systems: policies trained by Lagrangian duality, always feasible, and SDDP beside them."""

from sciml.dispatch.case import Branches, Buses, HydrothermalCase, Plants, Thermals
from sciml.dispatch.cases import open_case
from sciml.dispatch.compare import Comparison, compare
from sciml.dispatch.conic import ConicProgram
from sciml.dispatch.cuts import Cuts
from sciml.dispatch.duality import HorizonCost, StageCost, optimal_value
from sciml.dispatch.extensive import extensive_form
from sciml.dispatch.feasibility import Feasibility, feasibility
from sciml.dispatch.foresight import perfect_foresight
from sciml.dispatch.inflow_models import AutoregressiveInflows, historical, openings_to_inflows, sample_openings
from sciml.dispatch.linear import LinearProgram
from sciml.dispatch.policies import CutPolicy, Myopic, Policy, TargetPolicy
from sciml.dispatch.pool import ProgramPool
from sciml.dispatch.program import Cone, ConicForm, Outcome, ParametricProgram
from sciml.dispatch.programs import make_horizon_program, make_stage_program
from sciml.dispatch.reachable import ReachableTargets, Reservoirs
from sciml.dispatch.risk import CVaR
from sciml.dispatch.rules import RuleConfig, TargetRule
from sciml.dispatch.sddp import SDDP
from sciml.dispatch.simulate import simulate
from sciml.dispatch.user_programs import from_casadi, from_cvxpy

__all__ = [
    "SDDP",
    "AutoregressiveInflows",
    "Branches",
    "Buses",
    "CVaR",
    "Comparison",
    "Cone",
    "ConicForm",
    "ConicProgram",
    "CutPolicy",
    "Cuts",
    "Feasibility",
    "HorizonCost",
    "HydrothermalCase",
    "LinearProgram",
    "Myopic",
    "Outcome",
    "ParametricProgram",
    "Plants",
    "Policy",
    "ProgramPool",
    "ReachableTargets",
    "Reservoirs",
    "RuleConfig",
    "StageCost",
    "TargetPolicy",
    "TargetRule",
    "Thermals",
    "compare",
    "extensive_form",
    "feasibility",
    "from_casadi",
    "from_cvxpy",
    "historical",
    "make_horizon_program",
    "make_stage_program",
    "open_case",
    "openings_to_inflows",
    "optimal_value",
    "perfect_foresight",
    "sample_openings",
    "simulate",
]
