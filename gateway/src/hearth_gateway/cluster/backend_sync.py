"""The backends of the gateway's services, kept in step with the namespace's EndpointSlices.

While EndpointSlices cannot be watched, the Services' own addresses are used in addition: a fallback is never called ready, so
it is probed, and used only while no known replica is usable.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from hearth_gateway.cluster.contract import BACKEND_SUFFIX
from hearth_gateway.cluster.endpointslices import EndpointSlice, Slices, endpoints, fallback
from hearth_gateway.gateway import Gateway
from hearth_gateway.policy.backend import Endpoint

log = logging.getLogger("hearth.gateway")


class BackendSync:
    """The sink of the watch for EndpointSlices. `changed` is called with every Service whose slices are different ones."""

    def __init__(
        self, gateway: Gateway, namespace: str, changed: Callable[[str, Iterable[EndpointSlice]], None]
    ) -> None:
        self.falling_back = False
        self._gateway = gateway
        self._namespace = namespace
        self._changed = changed
        self._slices = Slices()
        self._given: dict[str, list[Endpoint]] = {}  # what the gateway has

    def listed(self, objects: Sequence[EndpointSlice]) -> None:
        """Take over all EndpointSlices of the namespace."""
        services = self._slices.replace(objects)
        self.fall_back(wanted=False)
        self._take(services)

    def changed(self, found: EndpointSlice) -> None:
        """Take over one that was added or changed."""
        self._take(self._slices.put(found))

    def deleted(self, found: EndpointSlice) -> None:
        """Forget one."""
        self._take(self._slices.remove(found))

    def fall_back(self, *, wanted: bool) -> None:
        """Use the Services' own addresses, too, or no longer."""
        if wanted == self.falling_back:
            return
        self.falling_back = wanted
        if wanted:
            log.warning("Failed to watch EndpointSlices; falling back to the addresses of Services, too")
        else:
            log.info("EndpointSlices are watched again; no longer using the addresses of Services")
        self.update(list(self._gateway.services))

    def update(self, names: Iterable[str]) -> None:
        """Give the gateway the replicas of these services, where they are different ones."""
        for name in names:
            if name not in self._gateway.services:
                continue
            service = f"{name}{BACKEND_SUFFIX}"
            found = endpoints(self._slices.of(service))
            if self.falling_back:
                found += fallback(service, self._namespace)
            if found != self._given.get(name, []):
                self._given[name] = found
                self._gateway.set_endpoints(name, found)

    def forget(self, names: Iterable[str]) -> None:
        """Forget what the gateway had for services that are gone."""
        for name in names:
            self._given.pop(name, None)

    def _take(self, services: Iterable[str]) -> None:
        for service in services:
            self._changed(service, self._slices.of(service))
        suffix = BACKEND_SUFFIX
        self.update([each.removesuffix(suffix) for each in services if each.endswith(suffix)])
