"""API server for dry runs, which leave nothing behind, from tests that are no coroutines (those of hypothesis are not)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.cluster import manifests
from tests.cluster.kube import ApiError, Kube, Object, condition

Result = TypeVar("Result")

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
"""Part of the names of namespaces that a whole module uses: other workers begin and end with theirs at other times."""

_KEY = re.compile(r"\.\[([^\]]*)\]")
"""A key of a mapping, as the server writes it where a rule names it: `limits.[cpu]`."""

_VALUE = re.compile(r"^Invalid value: (?:\"(?:[^\"\\]|\\.)*\"|\S+?): ", re.DOTALL)


@dataclass(frozen=True)
class Refusal:
    """What one cause of a refused request says; `path` is empty where the server names no field."""

    path: str
    message: str
    by: str


class Server:
    """One API server. Nothing that it is asked here is kept, but for the namespace that is made for the asking."""

    def __init__(self, kube: Kube, loop: asyncio.AbstractEventLoop, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self._loop = loop

    @classmethod
    @contextlib.contextmanager
    def open(cls, kubeconfig: Path, namespace: str) -> Iterator[Server]:
        """Make a namespace that enforces the `restricted` level; delete it at the end."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            kube = _within(loop, Kube.open(kubeconfig, os.environ.get("E2E_CONTEXT") or None))
            server = cls(kube, loop, namespace)
            try:
                server.run(kube.delete("Namespace", namespace))  # of an earlier run
                server.run(kube.until_gone("Namespace", namespace))
                server.run(kube.apply(manifests.namespace(namespace)))
                yield server
            finally:
                server.run(kube.delete("Namespace", namespace))
                server.run(kube.close())
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for a coroutine of the client."""
        return _within(self._loop, work)

    def define(self, documents: Sequence[Object]) -> None:
        """Apply CRDs for real, and wait until they are served."""
        for each in documents:
            self.run(self.kube.apply(each))
        for each in documents:
            self.run(
                self.kube.until(
                    each["kind"],
                    each["metadata"]["name"],
                    None,
                    lambda crd: condition(crd, "Established").get("status") == "True",
                    "Established",
                )
            )

    def create(self, document: Object) -> Object:
        """Return the object as it would be stored in the namespace. Raises ApiError."""
        return self.run(self.kube.create(document, self.namespace, dry_run=True))

    def apply(self, document: Object) -> Object:
        """Return it as server-side apply would store it. Raises ApiError."""
        return self.run(self.kube.apply(document, dry_run=True))

    def warnings(self) -> list[str]:
        """Return what the server warned of since the last call."""
        said, self.kube.warnings = self.kube.warnings, []
        return said

    def refusals(self, document: Object) -> list[Refusal]:
        """Return why an object would not be created; nothing when it would."""
        try:
            self.create(document)
        except ApiError as error:
            return _refusals(error)
        return []


def _refusals(error: ApiError) -> list[Refusal]:
    causes = (error.document.get("details") or {}).get("causes") or []
    found = [
        Refusal(_KEY.sub(r".\1", each.get("field", "")), _VALUE.sub("", each["message"]), each.get("reason", ""))
        for each in causes
    ]
    return found or [Refusal("", error.message, error.document.get("reason", ""))]


def _within(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run_coroutine_threadsafe(work, loop).result(90)
