"""The contract with the operator that deploys the gateway: names, keys and defaults on which both sides must agree.

The limits of a service are `hearth_gateway.config.Limits`.
"""

from __future__ import annotations

SERVICES_KEY = "services.json"
"""The key of the ConfigMap with the services document."""

NOTICES_KEY = "notices.json"
"""The key of the ConfigMap that maps services to a sentence for their waiting clients."""

BACKEND_SUFFIX = "-backend"
"""The suffix of the Service whose EndpointSlices are the replicas of a model."""

BACKEND_PORT = "http"
"""The name of that Service's port."""

SCALER_PORT = "scaler"
"""The name of the port, of the gateway's own Service, at which KEDA and the other replicas call."""

METRIC = "hearth-demand"
"""The name of the metric that KEDA is given."""

TARGET_KEY = "targetValue"
"""The key of a trigger's metadata that has the demand per replica."""

DEFAULT_TARGET = 10
"""The demand per replica where a trigger has none: the default of `spec.scaling.target`."""

KEDA_POLLING_INTERVAL = 5.0
"""Seconds between two polls of KEDA that demand must outlive; a ScaledObject's `pollingInterval` is not longer."""
