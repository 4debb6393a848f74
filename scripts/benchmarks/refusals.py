"""How long a wrong setting takes to be refused: each of tests/configuration/wrong_settings.yaml as a
command of its own, the start of Python included.

    python scripts/benchmarks/refusals.py [data=FOLDER] [only=TEXT]

Prints wall and processor seconds of each, then median and maximum.
"""
