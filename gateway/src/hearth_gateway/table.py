"""Table of services: which one a request is for, by its model, its Host header, or the prefix of its path."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from hearth_gateway.config import Limits
from hearth_gateway.policy.failure import Failure, Refused
from hearth_gateway.policy.service import Service

MAX_MEMO = 4096
"""Entries of a memo that requests fill."""
MAX_MEMO_KEY = 256
"""Bytes of such an entry's key: what strangers send must not fill the memory."""


class ServiceTable:
    """A snapshot of the services; a change makes a new one, so that nothing remembered here is ever stale."""

    def __init__(self, services: dict[str, Service]) -> None:
        self.services = services
        self.by_model = {
            name: service for service in services.values() for name in (service.config.name, *service.config.aliases)
        }
        # A body is read before its model is known: the most generous service bounds them all until then.
        limits = [service.config.limits.max_request_bytes for service in services.values()]
        self.max_request_bytes = max(limits, default=Limits().max_request_bytes)
        self.by_host: dict[bytes | None, Service | None] = {None: None}
        """Host headers that were seen, with the service that each names, if any. See `pinned`."""
        self._hosts: dict[str, Service] = {}
        for service in services.values():
            name, namespace = service.config.name.lower(), service.config.namespace.lower()
            for host in (name, f"{name}.{namespace}", f"{name}.{namespace}.svc", *map(str.lower, service.config.hosts)):
                self._hosts[host] = service

    def prefixed(self, path: bytes) -> tuple[Service, bytes] | None:
        """Return the service that the first segment of `path` names, and the path behind it."""
        first, slash, rest = path[1:].partition(b"/")
        service = self.by_model.get(unquote_to_bytes(first).decode(errors="replace"))
        return (service, b"/" + rest) if slash and service is not None else None

    def pinned(self, host: bytes | None, service: Service | None) -> Service | None:
        """Return the service that the Host header names, else `service`, which the path names.

        Raises Refused when they differ.
        """
        named = self._by_host(host)
        if named is None or service is named:
            return service
        if service is None:
            return named
        text = f"The host is the model `{named.config.name}`, the path `{service.config.name}`; use one of them."
        raise Refused(Failure(404, "model_mismatch", text))

    def _by_host(self, host: bytes | None) -> Service | None:
        if host is None or host in self.by_host:
            return self.by_host[host]
        name = host.decode(errors="replace").strip()
        if not name.startswith("["):
            name = name.partition(":")[0]
        service = self._hosts.get(name)
        if service is None and ".svc." in name:
            service = self._hosts.get(name[: name.index(".svc.") + 4])
        if len(self.by_host) < MAX_MEMO and len(host) <= MAX_MEMO_KEY:
            self.by_host[host] = service
        return service

    def named(self, model: object) -> Service:
        """Return the service of a body's `model`, or the only one there is. Raises Refused when there is none."""
        if not isinstance(model, str) or not model:
            if len(self.services) == 1:
                return next(iter(self.services.values()))
            text = "The request names no model, and there are several here. Set `model` to one of: "
            raise Refused(Failure(400, "no_model", text + ", ".join(sorted(self.by_model)) + ".", param="model"))
        service = self.by_model.get(model)
        if service is None:
            names = ", ".join(sorted(self.by_model)) or "none"
            text = f"The model `{model[:200]}` does not exist. Valid names: {names}."
            raise Refused(Failure(404, "model_not_found", text, param="model"))
        return service
