"""HTTP/1.1 on both sides of the policy: requests of clients, answers of backends, and the routes that tell them apart."""

from __future__ import annotations
