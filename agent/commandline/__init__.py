"""The command line. Every command computes on one thread in each process, unless the user has set another number."""

import os

# Before numpy and torch are loaded, which read it then. What Solvus computes are many small products: threads that wait
# for one another cost two to four times the processor time, and the last digits of a sum depend on their number.
os.environ.setdefault("OMP_NUM_THREADS", "1")
