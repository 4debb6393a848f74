"""Work as jobs of a cluster: what a job asks for (options), where jobs wait (queue), jobs that are
watched and submitted again (jobs), what is shown of them meanwhile (watching).
"""

from .options import Slurm

__all__ = ["Slurm"]
