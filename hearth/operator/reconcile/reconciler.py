"""Reconciler of every key in the work queue: one for what a namespace shares, one for each service."""

from __future__ import annotations

from hearth.operator.cache import Key
from hearth.operator.reconcile.namespace import NamespaceReconciler
from hearth.operator.reconcile.service import ServiceReconciler


class Reconciler:
    """The two reconcilers, told apart by the keys."""

    def __init__(self, namespaces: NamespaceReconciler, services: ServiceReconciler) -> None:
        self._namespaces = namespaces
        self._services = services

    async def reconcile(self, key: Key) -> bool:
        """Reconcile one key. Raises OperatorError when it is to be tried again.

        Returns False when it was too early to do anything, which says nothing about the key.
        """
        if not key.name:
            return await self._namespaces.reconcile(key)
        await self._services.reconcile(key)
        return True
