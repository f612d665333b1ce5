"""What one would use instead: networks to compare with, trained by the same command."""

from sciml.baselines.fno import FNO, FNOConfig

__all__ = ["FNO", "FNOConfig"]
