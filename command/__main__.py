"""`python -m frcnn` is the `frcnn` command."""

from frcnn.cli import main

main()
