"""The option for the pods of gateways."""

from __future__ import annotations

import pytest

from hearth.api import HearthError, parse_gateway_pod


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is not one JSON object"),
        ("[]", "it: "),
        ("{", "'{' is not one JSON object"),
        ('{"resource": {}}', "resource: no such field in GatewayPod; did you mean resources?"),
        ('{"resources": {"limits": {"memory": "4GB"}}}', "resources.limits.memory: '4GB'"),
        ('{"tolerations": [{"operator": "Is"}]}', "tolerations[0].operator: 'Is'"),
        ('{"imagePullPolicy": "Sometimes"}', "imagePullPolicy: 'Sometimes'"),
        ('{"imagePullSecrets": [{"name": "mirror"}]}', "imagePullSecrets[0]: "),
    ],
)
def test_a_wrong_word_about_gateways_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(HearthError) as refused:
        parse_gateway_pod(text)
    assert words in str(refused.value)
