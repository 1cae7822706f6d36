"""Registries that a push refuses before anything is built or sent."""

from __future__ import annotations

import pytest

from tools.images.errors import ImagesError
from tools.images.push import check_registry


@pytest.mark.parametrize(
    "registry",
    ["registry.example.com/hearth", "192.168.0.10:5000/hearth", "registry:5000", "localhost", "docker.io/acme"],
)
def test_a_registry_begins_with_a_host(registry: str) -> None:
    check_registry(registry)


@pytest.mark.parametrize("registry", ["https://registry.example.com", "registry.example.com/", "Registry/hearth", ""])
def test_what_is_no_registry_is_refused(registry: str) -> None:
    with pytest.raises(ImagesError, match="is not the name of a registry"):
        check_registry(registry)


@pytest.mark.parametrize("registry", ["hearth", "my_registry/hearth"])
def test_a_repository_of_docker_hub_is_never_meant_by_accident(registry: str) -> None:
    with pytest.raises(ImagesError, match=f"names no host: .*docker.io/{registry}"):
        check_registry(registry)
