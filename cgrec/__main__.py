"""python -m cgrec"""

from .cli import main

main()
