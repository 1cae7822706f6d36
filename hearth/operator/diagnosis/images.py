"""Images: why one cannot be pulled, in the words of its registry."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hearth.operator.diagnosis.diagnosis import Diagnosis
from hearth.operator.diagnosis.program import Program
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import redact, without_own_port

PULL_REASONS: Mapping[str, Reason] = {
    "ErrImagePull": Reason.IMAGE_PULL_BACK_OFF,
    "ImagePullBackOff": Reason.IMAGE_PULL_BACK_OFF,
    "ImageInspectError": Reason.IMAGE_PULL_BACK_OFF,
    "RegistryUnavailable": Reason.IMAGE_PULL_BACK_OFF,
    "InvalidImageName": Reason.INVALID_IMAGE_NAME,
    "ErrImageNeverPull": Reason.ERR_IMAGE_NEVER_PULL,
}
"""The kubelet's words for a container that waits for its image. Those that take turns while it retries are one reason."""

_PULL_PREFIX = re.compile(r'^Back-off pulling image "[^"]*"(?:: )?(?:ErrImagePull: )?')
_REFERENCE = re.compile(r"^.*failed to resolve (?:image|reference) ?\"?[^\s\"]*\"?: ", re.DOTALL)
_NO_ACCESS = re.compile(
    r"\b(401|403)\b|unauthorized|denied|authorization failed|authentication required", re.IGNORECASE
)
_UNREACHABLE = re.compile(r"no such host|dial tcp|i/o timeout|connection refused|TLS handshake", re.IGNORECASE)


def not_pulled(image: str, waiting: str, message: str, program: Program) -> Diagnosis:
    """Say why an image cannot be pulled. `waiting` is one of PULL_REASONS."""
    reason = PULL_REASONS[waiting]
    words = _REFERENCE.sub("", _PULL_PREFIX.sub("", message))
    words = redact(without_own_port(words).removeprefix(f"{image}: ")) or waiting
    return Diagnosis(
        reason,
        f"the image {redact(image)} of {program.name} cannot be pulled: {words}; {_remedy(reason, words, program)}",
        "broken",
        "the container image cannot be pulled",
    )


def _remedy(reason: Reason, words: str, program: Program) -> str:
    if reason is Reason.INVALID_IMAGE_NAME:
        return "correct spec.container.image of the runtime"
    if reason is Reason.ERR_IMAGE_NEVER_PULL:
        return "load the image onto the node, or let the cluster pull it"
    if _NO_ACCESS.search(words):
        return f"its registry requires a pull secret: {program.pull_remedy}"
    if _UNREACHABLE.search(words):
        return "the nodes cannot reach its registry: check their DNS and proxy, or mirror the image"
    return f"check its name and tag; a private image also looks like this without a pull secret ({program.pull_remedy})"
