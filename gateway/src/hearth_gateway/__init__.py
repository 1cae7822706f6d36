"""Hearth's data plane: an OpenAI-compatible gateway that holds requests while a model wakes."""

from .config import ConfigError, ServiceConfig, load_services, parse_service, parse_services
from .endpoint import Endpoint
from .gateway import Gateway, GatewayLimits
from .service import ServiceStats

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
