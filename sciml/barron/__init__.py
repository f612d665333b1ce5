"""Barron-space solvers: nonlinear elliptic problems in high dimension, solved by sums of waves with an error bound."""

from sciml.barron.adapt import AdaptiveFlow
from sciml.barron.boundary_net import BoundaryNet
from sciml.barron.calculus import a_priori_bounds, convexity_constants, one_step_bound, vector_wiener
from sciml.barron.certify import Certificate, certify
from sciml.barron.density import Density, IsotropicDensity
from sciml.barron.flow import BarronFlow
from sciml.barron.greedy import orthogonal_greedy
from sciml.barron.lattice import RankOneLattice, search_lattice
from sciml.barron.least_squares import fit_outer_weights, random_features, ritz_then_lsq
from sciml.barron.measure import BarronMeasurement, measure_barron_norm
from sciml.barron.observe import Observer
from sciml.barron.problem import EnergyProblem
from sciml.barron.problems import make_problem
from sciml.barron.quadrature import PointSet, Quadrature
from sciml.barron.residual import Collocation
from sciml.barron.ridge import RidgeNet
from sciml.barron.ritz import deep_ritz, ritz_loss, train_ritz
from sciml.barron.sampling import sample_product, sampling_bound, sampling_error
from sciml.barron.solve import Solution, solve
from sciml.barron.spectral import SpectralNet

__all__ = [
    "AdaptiveFlow",
    "BarronFlow",
    "BarronMeasurement",
    "BoundaryNet",
    "Certificate",
    "Collocation",
    "Density",
    "EnergyProblem",
    "IsotropicDensity",
    "Observer",
    "PointSet",
    "Quadrature",
    "RankOneLattice",
    "RidgeNet",
    "Solution",
    "SpectralNet",
    "a_priori_bounds",
    "certify",
    "convexity_constants",
    "deep_ritz",
    "fit_outer_weights",
    "make_problem",
    "measure_barron_norm",
    "one_step_bound",
    "orthogonal_greedy",
    "random_features",
    "ritz_loss",
    "ritz_then_lsq",
    "sample_product",
    "sampling_bound",
    "sampling_error",
    "search_lattice",
    "solve",
    "train_ritz",
    "vector_wiener",
]
