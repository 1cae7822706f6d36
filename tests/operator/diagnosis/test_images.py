"""Images: pulls that fail, in the words of the kubelet and the registry."""

from __future__ import annotations

import pytest

from hearth.operator.diagnosis.diagnosis import Diagnosis
from tests.operator.observations import (
    trouble,
    with_container,
)


def pull(message: str, reason: str = "ErrImagePull", image: str = "registry.example/engine:1") -> Diagnosis:
    return trouble(with_container(image=image, state={"waiting": {"reason": reason, "message": message}}))


@pytest.mark.parametrize(
    ("message", "words", "remedy"),
    [
        (
            'failed to pull and unpack image "registry.example/engine:1": failed to resolve reference '
            '"registry.example/engine:1": registry.example/engine:1: not found',
            "not found",
            "check its name and tag",
        ),
        (
            'failed to resolve reference "registry.example/engine:1": failed to authorize: 401 Unauthorized',
            "failed to authorize: 401 Unauthorized",
            "its registry requires a pull secret: list it in spec.imagePullSecrets",
        ),
        (
            'failed to resolve reference "registry.example/engine:1": failed to do request: Head "https://registry.example": '
            "dial tcp: lookup registry.example on 10.0.0.10:53: read udp 10.0.0.1:45233->10.0.0.10:53: i/o timeout",
            'failed to do request: Head "https://registry.example": dial tcp: lookup registry.example on 10.0.0.10:53: read udp '
            "10.0.0.1->10.0.0.10:53: i/o timeout",
            "the nodes cannot reach its registry",
        ),
    ],
)
def test_an_image_that_cannot_be_pulled(message: str, words: str, remedy: str) -> None:
    found = pull(message)
    assert (found.reason, found.stage) == ("ImagePullBackOff", "broken")
    assert found.message.startswith(
        f"the image registry.example/engine:1 of the engine cannot be pulled: {words}; {remedy}"
    )
    assert found.notice == "the container image cannot be pulled"
    assert (
        pull(f'Back-off pulling image "registry.example/engine:1": ErrImagePull: {message}', "ImagePullBackOff")
        == found
    )


def test_a_pull_that_waits_without_words() -> None:
    assert (
        "cannot be pulled: ImagePullBackOff; "
        in pull('Back-off pulling image "registry.example/engine:1"', "ImagePullBackOff").message
    )
    assert "correct spec.container.image" in pull("couldn't parse image name", "InvalidImageName").message
    assert (
        "load the image onto the node"
        in pull("image is not present with pull policy of Never", "ErrImageNeverPull").message
    )
