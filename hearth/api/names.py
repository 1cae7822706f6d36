"""The names that Kubernetes allows, with the reason and a name that would do in every refusal."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

from hearth.api.rejection import rejected
from hearth.api.wording import quoted

LABEL: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""RFC 1123 label: namespaces, vendor keys."""

SERVICE_LABEL: Final = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
"""RFC 1035 label: what the name of a Kubernetes Service may be."""

SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
"""RFC 1123 subdomain: most object names."""

_DOMAIN: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/"
_NAME: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
QUALIFIED: Final = f"^({_DOMAIN})?{_NAME}$"
"""An optional domain and a name, as in `nvidia.com/gpu`: resource names, label keys, taint keys."""

LABEL_VALUE: Final = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"

RESOURCE: Final = f"^({_DOMAIN}{_NAME}|cpu|memory|ephemeral-storage|hugepages-[-A-Za-z0-9_.]{{0,52}}[A-Za-z0-9])$"
"""Names of resources: those that Kubernetes itself names, all others with a domain."""

PORT_NAME: Final = r"^([0-9]+-)*[0-9]*[a-z][a-z0-9]*(-[a-z0-9]+)*$"
"""Name of a container port: a letter somewhere, single `-` between letters and digits."""

ENVIRONMENT: Final = r"^[ -<>-~]+$"
"""Environment variable names: printable ASCII without `=`, as Kubernetes has it."""

LONGEST_SERVICE_NAME: Final = 55
"""63, the limit for a Kubernetes Service, less the 8 characters of `-backend`, `-gateway` and `-prewarm`."""


def _service_name(value: str) -> str:
    if re.fullmatch(SERVICE_LABEL, value) and len(value) <= LONGEST_SERVICE_NAME:
        return value
    if re.fullmatch(SERVICE_LABEL, value):
        raise rejected(
            f"{quoted(value)} has {len(value)} characters and the limit is {LONGEST_SERVICE_NAME}, because the Kubernetes "
            f"Services named after it may have 63",
            "shorten it",
        )
    raise rejected(
        f"{quoted(value)} is not a valid Kubernetes Service name",
        f"use at most {LONGEST_SERVICE_NAME} lowercase letters, digits and '-', first a letter, last not '-', "
        f"such as {_suggestion(value, first_letter=True)!r}; requests can use any other name listed in "
        f"spec.endpoint.aliases",
    )


def _label(value: str) -> str:
    return _checked(value, LABEL, 63, "lowercase letters, digits and '-', first and last not '-'")


def _subdomain(value: str) -> str:
    return _checked(value, SUBDOMAIN, 253, "lowercase letters, digits, '-' and '.', first and last a letter or digit")


def _runtime_name(value: str) -> str:
    # A label on every pod carries it, so the limit is that of label values.
    return _checked(value, SUBDOMAIN, 63, "lowercase letters, digits, '-' and '.', first and last a letter or digit")


def check_port_name(value: str) -> str:
    """Return the name of a container port, with Kubernetes' limits."""
    if not re.search("[a-z]", value) or "--" in value:
        raise rejected(f"{quoted(value)} is not a port name", "use letters, digits and single '-', at least one letter")
    return _checked(value, PORT_NAME, 15, "lowercase letters, digits and '-', first and last not '-'")


def _resource_name(value: str) -> str:
    if not is_qualified(value) or not re.fullmatch(RESOURCE, value):
        raise rejected(
            f"{quoted(value)} is not the name of an extended resource",
            "write it with its domain, as the device plugin advertises it, such as nvidia.com/gpu",
        )
    return value


def _environment_name(value: str) -> str:
    if not re.fullmatch(ENVIRONMENT, value):
        raise rejected(
            f"{quoted(value)} is not the name of an environment variable",
            "use printable ASCII characters other than '='",
        )
    return value


def _checked(value: str, pattern: str, longest: int, allowed: str) -> str:
    if not re.fullmatch(pattern, value):
        raise rejected(
            f"{quoted(value)} is not a valid name", f"use at most {longest} {allowed}, such as {_suggestion(value)!r}"
        )
    if len(value) > longest:
        raise rejected(f"{quoted(value)} has {len(value)} characters and the limit is {longest}", "shorten it")
    return value


def _suggestion(value: str, *, first_letter: bool = False) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")
    if first_letter and name[:1].isdigit():
        name = f"m-{name}"
    return name[:LONGEST_SERVICE_NAME].rstrip("-") or "my-model"


def _schema(pattern: str, longest: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "minLength": 1, "maxLength": longest})


ServiceName = Annotated[str, AfterValidator(_service_name), _schema(SERVICE_LABEL, LONGEST_SERVICE_NAME)]
RuntimeName = Annotated[str, AfterValidator(_runtime_name), _schema(SUBDOMAIN, 63)]
LabelName = Annotated[str, AfterValidator(_label), _schema(LABEL, 63)]
SubdomainName = Annotated[str, AfterValidator(_subdomain), _schema(SUBDOMAIN, 253)]
PortName = Annotated[str, AfterValidator(check_port_name), _schema(PORT_NAME, 15)]
ResourceName = Annotated[str, AfterValidator(_resource_name), _schema(RESOURCE, 317)]
EnvironmentName = Annotated[str, AfterValidator(_environment_name), _schema(ENVIRONMENT, 253)]


def _key(value: str) -> str:
    if not is_qualified(value):
        raise rejected(
            f"{quoted(value)} is not the key of a label or annotation",
            "use at most 63 letters, digits, '-', '_' and '.', after a domain and '/' if there is one",
        )
    return value


def _label_value(value: str) -> str:
    if len(value) > 63 or not re.fullmatch(LABEL_VALUE, value):
        raise rejected(
            f"{quoted(value)} is not the value of a label",
            "use at most 63 letters, digits, '-', '_' and '.', first and last a letter or digit",
        )
    return value


def is_qualified(key: str) -> bool:
    """Whether `key` may be a label key or a resource name: an optional domain, then a name of at most 63."""
    domain, _, name = key.rpartition("/")
    return len(name) <= 63 and len(domain) <= 253 and re.fullmatch(QUALIFIED, key) is not None


LabelKey = Annotated[str, AfterValidator(_key), _schema(QUALIFIED, 317)]
_VALUES = WithJsonSchema(
    {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63, "pattern": LABEL_VALUE}}
)
Labels = Annotated[dict[Annotated[str, AfterValidator(_key)], Annotated[str, AfterValidator(_label_value)]], _VALUES]
"""Labels of an object, or those that a node must have."""

_TEXTS = WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}})
Annotations = Annotated[dict[Annotated[str, AfterValidator(_key)], str], _TEXTS]
