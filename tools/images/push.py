"""The push of built images to a registry, by skopeo or by the program that built them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.images.builder import Builder
from tools.images.cache import run, say
from tools.images.errors import ImagesError
from tools.images.recipe import Recipe

_REGISTRY = re.compile(r"[a-z0-9][a-z0-9._-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*")
_DENIED = ("unauthorized", "authentication required", "access denied", "denied:", "no basic auth credentials")
"""What skopeo, buildah, docker and registries say when credentials are missing or wrong."""
_NOT_TLS = ("server gave HTTP response to HTTPS client", "first record does not look like a TLS handshake")


def check_registry(registry: str) -> None:
    """Raise ImagesError unless `registry` is HOST[:PORT][/PATH]."""
    if not _REGISTRY.fullmatch(registry):
        raise ImagesError(
            f"{registry!r} is not the name of a registry: write HOST[:PORT][/PATH] without a scheme, such as "
            "registry.example.com/hearth"
        )
    host = registry.partition("/")[0]
    if host != "localhost" and "." not in host and ":" not in host:
        raise ImagesError(
            f"{registry!r} names no host: {host!r} is a repository of Docker Hub to the programs that push and pull; "
            f"write HOST[:PORT][/PATH], or docker.io/{registry} where that is meant"
        )


def push(recipe: Recipe, archive: Path, builder: Builder, registry: str, *, plain_http: bool) -> None:
    """Push one image to `registry` under its name and version; raises ImagesError with the remedy.

    skopeo comes first, because it sends the archive's layers as they are; the builder would compress them again.
    Credentials are those of `skopeo login`, `buildah login` or `docker login`.
    """
    target = f"{registry}/{recipe.name_and_tag}"
    say(f"pushing {target}")
    with _remedies(registry):
        if shutil.which("skopeo") is None:
            builder.push(recipe.reference, target, plain_http=plain_http)
        else:
            verify = ["--dest-tls-verify=false"] if plain_http else []
            run(["skopeo", "copy", "--quiet", *verify, f"{builder.archive_format}:{archive}", f"docker://{target}"])


@contextmanager
def _remedies(registry: str) -> Iterator[None]:
    try:
        yield
    except ImagesError as error:
        text = str(error)
        host = registry.partition("/")[0]
        if any(words in text for words in _DENIED):
            raise ImagesError(f"{text}\n{host} refused the credentials; log in first: skopeo login {host}") from None
        if any(words in text for words in _NOT_TLS):
            raise ImagesError(
                f"{text}\n{host} speaks plain HTTP; if that is meant: make push REGISTRY={registry} PLAIN_HTTP=1"
            ) from None
        raise
