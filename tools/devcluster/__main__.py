"""`python -m tools.devcluster`."""

from __future__ import annotations

from tools.devcluster.cli import main

main()
