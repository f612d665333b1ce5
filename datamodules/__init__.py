"""LightningDataModules: from data on disk to batches."""
