"""The target of a plan: where the service will run."""

from __future__ import annotations

from typing import Literal

Target = Literal["cluster", "local"]
"""In a Kubernetes cluster, or as processes on one machine."""
