"""`python -m inlay` is the command line."""

from inlay.cli import main

main()
