"""API client for the few calls that this program makes itself: each takes a tenth of a kubectl's start."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.devcluster.errors import ApiError

PORT = 6443


@dataclass(frozen=True, slots=True)
class Api:
    """Where the API server is and who asks."""

    host: str
    pki: Path
    timeout: float = 5.0

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """Make one call and return the decoded answer (text when it is not JSON).

        Raises ApiError when there is no answer within `timeout` seconds, or a status of 400 and above.
        """
        try:
            context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
            context.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
            connection = http.client.HTTPSConnection(self.host, PORT, timeout=self.timeout, context=context)
            try:
                data = None if body is None else json.dumps(body).encode()
                connection.request(
                    method, path, body=data, headers={"Content-Type": kind, "Accept": "application/json"}
                )
                response = connection.getresponse()
                content = response.read()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(0, f"API server {self.host}:{PORT} does not answer: {error}") from error
        text = content.decode(errors="replace")
        if response.status >= 400:
            raise ApiError(response.status, f"{method} {path}: {response.status} {text[:500]}")
        try:
            return json.loads(text)
        except ValueError:
            return text

    def get(self, path: str) -> Any:
        """GET."""
        return self.call("GET", path)

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            self.get("/readyz")
        except ApiError:
            return False
        return True

    def missing(self, path: str) -> bool:
        """Whether `path` answers 404."""
        try:
            self.get(path)
        except ApiError as error:
            if error.status == 404:
                return True
            raise
        return False

    def node(self, name: str) -> dict[str, Any] | None:
        """Return the node object, None when there is none."""
        try:
            found: dict[str, Any] = self.get(f"/api/v1/nodes/{name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found


def condition(item: dict[str, Any] | None, kind: str) -> str:
    """Return the status of a condition: True, False or Unknown."""
    conditions = ((item or {}).get("status") or {}).get("conditions") or []
    return next((str(entry["status"]) for entry in conditions if entry.get("type") == kind), "Unknown")
