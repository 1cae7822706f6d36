"""The gateway as a replica in a Kubernetes cluster; needs the extra `hearth-gateway[cluster]`."""

from __future__ import annotations
