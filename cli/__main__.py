"""``python -m cli``: the same as ``espalier``."""

from cli.main import main

main()
