"""Hearth's data plane: an OpenAI-compatible gateway that holds requests while a model wakes."""

from __future__ import annotations

from hearth_gateway.config import ServiceConfig, parse_service, parse_services
from hearth_gateway.errors import ConfigError
from hearth_gateway.gateway import Gateway
from hearth_gateway.limits import GatewayLimits
from hearth_gateway.policy.backend import Endpoint
from hearth_gateway.policy.service import ServiceStats
from hearth_gateway.services_file import load_services

__all__ = [
    "ConfigError",
    "Endpoint",
    "Gateway",
    "GatewayLimits",
    "ServiceConfig",
    "ServiceStats",
    "load_services",
    "parse_service",
    "parse_services",
]
