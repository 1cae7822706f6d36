"""The ConfigMap that a gateway watches: its services, and notices for their waiting clients."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hearth.planning.gateway.gateway import Gateway

SERVICES_KEY = "services.json"
"""The key of the services document in the ConfigMap."""

NOTICES_KEY = "notices.json"
"""The key of the notices: a mapping of a service's name to a sentence. It is absent when there are none."""

LARGEST_DOCUMENT = 1_000_000
"""Bytes; Kubernetes refuses ConfigMaps above 1 MiB."""

LONGEST_NOTICE = 300
"""Characters of one sentence; what is longer ends in an ellipsis."""


def gateway_config(gateway: Gateway, entries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the ConfigMap with the entries of the services: one per line, so that a change shows as one."""
    lines = ",\n".join(f"  {written(entry)}" for entry in entries)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": gateway.metadata(),
        "data": {SERVICES_KEY: f'{{"services": [\n{lines}\n]}}\n'},
    }


def with_notices(config: Mapping[str, Any], notices: Mapping[str, str]) -> Mapping[str, Any]:
    """Return a gateway's ConfigMap with the notices, by service, for the clients that wait.

    Notices of services that are not among the entries are left out, and so are those that no longer fit: a ConfigMap
    that is refused would cost every service of the namespace its updates.
    """
    data = config["data"]
    names = (entry["name"] for entry in gateway_entries(config))
    kept = ",\n".join(_notice_lines(names, notices, LARGEST_DOCUMENT - len(data[SERVICES_KEY])))
    return {**config, "data": {**data, NOTICES_KEY: f"{{\n{kept}\n}}\n"}} if kept else config


def _notice_lines(names: Iterable[str], notices: Mapping[str, str], room: int) -> Iterator[str]:
    for name in names:
        if name not in notices:
            continue
        sentence = " ".join(notices[name].split())  # one line: it ends up in headers and events
        if len(sentence) > LONGEST_NOTICE:
            sentence = f"{sentence[: LONGEST_NOTICE - 1]}\N{HORIZONTAL ELLIPSIS}"
        line = f"  {json.dumps(name)}: {json.dumps(sentence)}"
        room -= len(line) + len(",\n")
        if room < 0:
            return
        if sentence:
            yield line


def written(entry: Mapping[str, Any]) -> str:
    """Return an entry as it stands in the document."""
    return json.dumps(entry, ensure_ascii=True, allow_nan=False)


def gateway_entries(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the entries of a gateway's ConfigMap; none when it is not one that this version reads."""
    try:
        document = json.loads((config.get("data") or {}).get(SERVICES_KEY, "{}"))
        found = document.get("services") or ()
        return tuple(entry for entry in found if isinstance(entry, dict) and isinstance(entry.get("name"), str))
    except (ValueError, AttributeError, TypeError):
        return ()
