"""One thread for each worker: the tests run on all cores as processes (pytest-xdist), which is
faster than threads for systems this small.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
