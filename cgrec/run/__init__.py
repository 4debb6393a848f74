"""What a run is on disk: the names of its files (layout), their digests, the recipe they were made
by, the stages of a level, checkpoints, the lock.
"""
