"""`cgrec.corrections` under the name it had: configurations of that time name
`cgrec.refinement.PairRefinement`.
"""

from .corrections import PairRefinement, correct_pairs, refine

__all__ = ["PairRefinement", "correct_pairs", "refine"]
