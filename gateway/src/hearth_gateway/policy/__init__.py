"""Policy without sockets: admission, demand, activation, readiness and release of the requests for one service."""

from __future__ import annotations
