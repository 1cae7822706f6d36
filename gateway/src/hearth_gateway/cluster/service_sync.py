"""The services of the gateway, kept in step with its ConfigMap.

A mistake in the ConfigMap changes nothing, and neither does its deletion: the gateway is usually deleted with it, and requests
go on until then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from hearth_gateway.cluster.configmap import ConfigMap, Problems, Reader
from hearth_gateway.errors import ConfigError
from hearth_gateway.gateway import Gateway

log = logging.getLogger("hearth.gateway")

DELETED_AFTER = 10.0
"""Seconds without the ConfigMap until it counts as deleted for good.

One that somebody deletes by hand comes back when the operator gets to it: with a thousand services, or when the operator is
restarted itself, that takes seconds.
"""
_MAX_NAMES = 10


class ServiceSync:
    """The sink of the ConfigMap's watch. `changed` is called with the services that are new and those that are gone."""

    def __init__(self, gateway: Gateway, config_map: str, changed: Callable[[set[str], set[str]], None]) -> None:
        self.problems = Problems()
        self._gateway = gateway
        self._config_map = config_map
        self._changed = changed
        self._reader = Reader()
        self._data: dict[str, str] | None = None  # that was applied last
        self._exists = False
        self._deleted_at: float | None = None

    def missing(self) -> str | None:
        """Return why there are no services yet, or None when there are."""
        if not self._exists:
            return f"the ConfigMap {self._config_map} does not exist"
        if self._data is None:
            return f"the ConfigMap {self._config_map} is invalid: {'; '.join(self.problems.current)}"
        return None

    def is_deleted(self) -> bool:
        """Whether the ConfigMap was deleted for good."""
        return self._deleted_at is not None and self._gateway.now() >= self._deleted_at + DELETED_AFTER

    def listed(self, objects: Sequence[ConfigMap]) -> None:
        """Take over the only ConfigMap there is, or that there is none."""
        for each in objects:
            self.changed(each)
        if not objects:
            self._delete()

    def deleted(self, found: ConfigMap) -> None:
        """Note that the ConfigMap was deleted."""
        self._delete()

    def changed(self, found: ConfigMap) -> None:
        """Apply the ConfigMap as it is now."""
        if found.metadata.name != self._config_map:
            return
        self._exists, self._deleted_at = True, None
        data = dict(found.data or {})
        if data != self._data:
            self._apply(found, data)

    def _apply(self, config_map: ConfigMap, data: dict[str, str]) -> None:
        gateway = self._gateway
        before = {name: service.config for name, service in gateway.services.items()}
        try:
            settings = self._reader.read(config_map, before)
        except ConfigError as error:
            self.problems.replace(error.problems)
            return
        self._data = data
        self.problems.replace(settings.problems)
        gateway.apply(settings.services)
        after = gateway.services
        for name in after:
            gateway.set_notice(name, settings.notices.get(name))
        new, gone = after.keys() - before.keys(), before.keys() - after.keys()
        self._changed(new, gone)
        if new or gone:
            log.info("Applied the ConfigMap: %d services; new: %s; removed: %s", len(after), _names(new), _names(gone))

    def _delete(self) -> None:
        self._exists = False
        if self._data is not None and self._deleted_at is None:
            self._deleted_at = self._gateway.now()
            log.warning("The ConfigMap %s was deleted; serving its services until this gateway stops", self._config_map)


def _names(names: Iterable[str]) -> str:
    found = sorted(names)
    more = f" and {len(found) - _MAX_NAMES} more" if len(found) > _MAX_NAMES else ""
    return ", ".join(found[:_MAX_NAMES]) + more or "none"
