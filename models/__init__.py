"""LightningModules: from a batch to loss, metrics and optimiser."""
