"""`python -m tools.devcluster`."""

from tools.devcluster.cli import main

main()
