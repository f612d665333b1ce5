"""Barron-space solvers: nonlinear elliptic problems in high dimension, solved by sums of waves with an error bound."""

from sciml.barron.adapt import AdaptiveFlow
from sciml.barron.calculus import a_priori_bounds, convexity_constants, one_step_bound, vector_wiener
from sciml.barron.certify import Certificate, certify
from sciml.barron.density import Density, IsotropicDensity
from sciml.barron.flow import BarronFlow
from sciml.barron.lattice import RankOneLattice, search_lattice
from sciml.barron.measure import BarronMeasurement, measure_barron_norm
from sciml.barron.problem import EnergyProblem
from sciml.barron.problems import make_problem
from sciml.barron.residual import Collocation
from sciml.barron.ridge import RidgeNet
from sciml.barron.sampling import sample_product, sampling_bound, sampling_error
from sciml.barron.solve import Solution, solve
from sciml.barron.spectral import SpectralNet

__all__ = [
    "AdaptiveFlow",
    "BarronFlow",
    "BarronMeasurement",
    "Certificate",
    "Collocation",
    "Density",
    "EnergyProblem",
    "IsotropicDensity",
    "RankOneLattice",
    "RidgeNet",
    "Solution",
    "SpectralNet",
    "a_priori_bounds",
    "certify",
    "convexity_constants",
    "make_problem",
    "measure_barron_norm",
    "one_step_bound",
    "sample_product",
    "sampling_bound",
    "sampling_error",
    "search_lattice",
    "solve",
    "vector_wiener",
]
