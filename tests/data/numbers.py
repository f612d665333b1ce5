"""Values for test files."""

import numpy as np


def numbered(*shape: int) -> np.ndarray:
    """Float32 array in which every value is its own: a misplaced read cannot look right."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
