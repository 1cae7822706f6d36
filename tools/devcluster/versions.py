"""Versions of the programs of a cluster. The go.mod of each must say the same."""

from __future__ import annotations

KUBERNETES = "1.34.4"
KEDA = "2.20.2"
COREDNS = "1.14.1"
HELM = "3.22.0"
PAUSE = "1"

GO = (1, 26)
"""What KEDA's go.mod asks for."""
