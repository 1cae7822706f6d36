from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tools.devcluster import dns, keda, versions
from tools.devcluster.build import COMPONENTS, cache_key
from tools.devcluster.config import AFTER_API, Claim, Options, audit_policy, component_commands, kubeconfig, render
from tools.devcluster.config import COMPONENTS as NODE_COMPONENTS
from tools.devcluster.errors import UsageError
from tools.devcluster.node import NODE_BINARIES
from tools.devcluster.nodestatus import parse_accelerators, status_patch
from tools.devcluster.paths import Paths, cluster_paths
from tools.devcluster.pki import extensions, requests

CLAIM = Claim("one", 3, {name: f"/cache/{name}" for name in NODE_BINARIES}, Options("5s"))
PATHS = Paths("one", Path("/state/one"))


@pytest.fixture
def pki(tmp_path):
    paths = Paths("one", tmp_path / "one")
    paths.pki.mkdir(parents=True)
    names = ["ca", *(request.name for request in requests(CLAIM.node, CLAIM.addresses))]
    for name in names:
        for kind in ("crt", "key"):
            (paths.pki / f"{name}.{kind}").write_text(f"{name}.{kind}")
    return paths


def test_claim_survives_its_file():
    assert Claim.from_json(CLAIM.to_json()) == CLAIM


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"name": "a"}', '{"name": "a", "index": "x", "binaries": {}, "options": {}}']
)
def test_a_claim_that_is_none_is_a_value_error(text):
    with pytest.raises(ValueError):
        Claim.from_json(text)


def test_every_component_has_a_command_and_starts_in_order():
    assert tuple(component_commands(CLAIM, PATHS)) == NODE_COMPONENTS
    assert set(NODE_COMPONENTS) > AFTER_API


def test_commands_use_the_clusters_own_addresses_and_options():
    text = json.dumps(component_commands(CLAIM, PATHS))
    assert "10.99.0.0/16" in text
    assert "10.244.12.0/22" in text
    assert "--horizontal-pod-autoscaler-sync-period=5s" in text
    assert "10.96." not in text


def test_every_file_that_a_command_names_is_rendered(pki):
    rendered = render(CLAIM, pki)
    named = set(
        re.findall(rf"{pki.config}/([a-z./-]+)", json.dumps(component_commands(CLAIM, pki)) + json.dumps(rendered))
    )
    assert named - {"cni", "certs.d"} <= set(rendered), "all but the folders"


def test_rendered_documents_are_yaml(pki):
    for name, text in render(CLAIM, pki).items():
        if name.endswith((".yaml", ".kubeconfig")):
            assert yaml.safe_load(text)["apiVersion"], name


def test_kubeconfig_has_the_clusters_name_as_context(pki):
    document = yaml.safe_load(kubeconfig(CLAIM, pki.pki, "admin"))
    assert document["current-context"] == "one"
    assert document["clusters"][0]["cluster"]["server"] == "https://10.89.3.2:6443"


def test_audit_sees_workloads_but_not_the_system():
    none, metadata, rest = audit_policy()["rules"]
    assert "system:serviceaccounts:kube-system" in none["userGroups"]
    assert metadata == {"level": "Metadata", "userGroups": ["system:serviceaccounts"]}
    assert rest == {"level": "None"}


def test_the_api_servers_certificate_names_every_way_to_reach_it():
    apiserver = next(request for request in requests(CLAIM.node, CLAIM.addresses) if request.name == "apiserver")
    for name in ("DNS:kubernetes.default.svc", "IP:10.99.0.1", "IP:10.89.3.2"):
        assert name in extensions(apiserver)


def test_kubelet_is_in_the_nodes_group():
    kubelet = next(request for request in requests(CLAIM.node, CLAIM.addresses) if request.name == "kubelet")
    assert kubelet.subject == "/O=system:nodes/CN=system:node:one-node"


@pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "a-", "a" * 33, "../x", "a/b", "ä"])
def test_names_that_cannot_be(name):
    with pytest.raises(UsageError):
        cluster_paths(name)


# What is built


def _required(component, module: str) -> str:
    text = (component.folder / "go.mod").read_text()
    found = re.search(rf"^(?:require )?\s*{re.escape(module)} v(\S+)", text, re.MULTILINE)
    assert found, f"{component.name}: {module} is not required"
    return found[1]


@pytest.mark.parametrize(
    ("name", "module", "version"),
    [
        ("kubernetes", "k8s.io/kubernetes", versions.KUBERNETES),
        ("keda", "github.com/kedacore/keda/v2", versions.KEDA),
        ("coredns", "github.com/coredns/coredns", versions.COREDNS),
        ("helm", "helm.sh/helm/v3", versions.HELM),
    ],
)
def test_go_mod_requires_the_version_that_is_stamped(name, module, version):
    component = next(item for item in COMPONENTS if item.name == name)
    assert _required(component, module) == version == component.version
    assert (component.folder / "go.sum").exists()


def test_staging_modules_follow_kubernetes():
    text = (COMPONENTS[1].folder / "go.mod").read_text()
    staging = re.findall(r"^\s+(k8s\.io/\S+) => \1 v(\S+)", text, re.MULTILINE)
    assert len(staging) == 31
    assert {version for _, version in staging} == {"0" + versions.KUBERNETES[1:]}


def test_no_file_for_go_names_a_place_to_download_from():
    for component in COMPONENTS:
        for file in component.folder.iterdir():
            assert "://" not in file.read_text(), file


def test_cache_key_changes_with_anything_that_is_built_from():
    component, sources = COMPONENTS[2], {"go.mod": b"a", "go.sum": b"b"}
    keys = {
        cache_key(component, sources),
        cache_key(component, {**sources, "go.sum": b"c"}),
        cache_key(component, {**sources, "main.go": b""}),
        cache_key(COMPONENTS[3], sources),
    }
    assert len(keys) == 4
    assert cache_key(component, sources) == cache_key(component, dict(reversed(sources.items())))


def test_keda_gets_its_own_images_and_no_other_change_than_those_for_speed():
    document = keda.kustomization("../base")
    assert [entry["newTag"] for entry in document["images"]] == [versions.KEDA] * 3
    paths = {step["path"].split("containers/0/")[1] for step in json.loads(document["patches"][0]["patch"])}
    assert paths == {"imagePullPolicy", "readinessProbe/initialDelaySeconds", "readinessProbe/periodSeconds"}
    operators = json.loads(document["patches"][1]["patch"])
    assert document["patches"][1]["target"]["name"] == "keda-operator"
    assert {step["path"].split("containers/0/")[1] for step in operators} == {"args/-", "env/-"}


def test_dns_serves_at_the_address_that_pods_are_told():
    service = dns.manifests(CLAIM)["items"][-1]
    assert service["spec"]["clusterIP"] == "10.99.0.10"
    assert {(port["port"], port["protocol"]) for port in service["spec"]["ports"]} == {(53, "UDP"), (53, "TCP")}


# Accelerators


def test_accelerators_are_read():
    assert parse_accelerators(["nvidia.com/gpu=8", "a.b/c=0"]) == {"nvidia.com/gpu": 8, "a.b/c": 0}


@pytest.mark.parametrize(
    "word", ["", "x", "gpu=1", "a/b", "a/b=", "a/b=-1", "a/b=1.5", "a/b=x", "/b=1", "a/=1", "a/b=²", "a/b=9999999"]
)
def test_accelerators_that_are_none(word):
    with pytest.raises(UsageError, match="KEY=N"):
        parse_accelerators([word])


def test_patch_adds_what_is_missing_and_removes_what_is_zero():
    status = {"capacity": {"a/b": "1", "c/d": "2"}, "allocatable": {"a/b": "1"}}
    assert status_patch(status, {"a/b": 1, "c/d": 0, "e/f": 3}) == [
        {"op": "remove", "path": "/status/capacity/c~1d"},
        {"op": "add", "path": "/status/capacity/e~1f", "value": "3"},
        {"op": "add", "path": "/status/allocatable/e~1f", "value": "3"},
    ]
    assert status_patch({"capacity": {"e/f": "3"}, "allocatable": {"e/f": "3"}}, {"e/f": 3}) == []
