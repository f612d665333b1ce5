"""Solvers that generate training data, batched over trajectories, on any torch device."""
