"""State-space layers that model long signals, and the theory of what they do to noise."""

from sciml.ssm.config import SequenceConfig
from sciml.ssm.frozen import frozen
from sciml.ssm.hippo import hippo_legs
from sciml.ssm.network import SequenceModel
from sciml.ssm.ptd import PerturbedSystem, perturb_then_diagonalize
from sciml.ssm.robustness import RobustnessReport, robustness_report
from sciml.ssm.s4 import S4
from sciml.ssm.s4d import S4D, S4PTD
from sciml.ssm.s5 import S5, S5PTD
from sciml.ssm.systems import ContinuousSystem, DiagonalSystem, initial_system
from sciml.ssm.transfer import critical_frequencies, transfer_error, transfer_function

__all__ = [
    "S4",
    "S4D",
    "S4PTD",
    "S5",
    "S5PTD",
    "ContinuousSystem",
    "DiagonalSystem",
    "PerturbedSystem",
    "RobustnessReport",
    "SequenceConfig",
    "SequenceModel",
    "critical_frequencies",
    "frozen",
    "hippo_legs",
    "initial_system",
    "perturb_then_diagonalize",
    "robustness_report",
    "transfer_error",
    "transfer_function",
]
