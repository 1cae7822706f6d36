"""The gateways of a cluster: their objects, and the entries of the services that they serve."""

from __future__ import annotations
