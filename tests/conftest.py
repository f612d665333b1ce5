"""What all tests share."""

import os

# One thread a test process: results do not depend on the machine, and two cores are enough for two processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
