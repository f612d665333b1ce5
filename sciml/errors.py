"""The errors that sciml raises on bad input.

Every message says three things: what came, what was expected, what to do. Each class also derives from the builtin that
Python users would catch (``ValueError``, ``OSError``), so that nobody has to know this module to handle an error.
"""


class SciMLError(Exception):
    """Base of everything that sciml raises on purpose: ``except SciMLError`` catches the lot."""


class ConfigError(SciMLError, ValueError):
    """A setting has a value, or a combination of values, that cannot work."""


class ShapeError(SciMLError, ValueError):
    """A tensor does not have the shape, or the number of channels, that a network or a solver expects."""


class DataError(SciMLError, ValueError):
    """The content of a file is wrong: NaN, negative density, too few steps or trajectories."""


class LayoutError(SciMLError, OSError):
    """A file is missing, truncated, or in a layout that no reader knows."""


class CheckpointError(SciMLError, OSError):
    """A model folder or hub repository has no weights, or weights that do not fit the network."""


class WriteError(SciMLError, OSError):
    """A file could not be written: the disk is full, the folder is read-only, another run holds the file."""


class SolverError(SciMLError, ArithmeticError):
    """A numerical solver blew up or did not converge."""


class InfeasibleError(SolverError):
    """A program has no solution; the message names the constraints that contradict each other."""
