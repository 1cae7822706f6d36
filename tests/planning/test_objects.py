"""Every object that is rendered: valid, fitting the others, and what the facts about KEDA and Kubernetes ask for."""

import ast
import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearth.api import HearthError, LLMService, load_manifests, parse_gateway_pod, parse_manifests
from hearth.planning import (
    LiveValues,
    NamespacePlan,
    Plan,
    PlanningError,
    PlanOptions,
    as_document,
    bind,
    gateway_name,
    gateway_service_name,
    identity,
    make_plan,
    plan_namespace,
)
from hearth_gateway import Gateway, parse_services

from .manifests import RUNTIME, SERVICES
from .support import host, plan, runtime, service
from .test_laws import RUNTIMES, SPECS, maybe
from .validity import check, of, restricted
from .vendors.test_pods import EXAMPLES
from .vendors.test_pods import HOST as VENDORS
from .vendors.test_pods import RUNTIMES as SHIPPED

OPTIONS = [PlanOptions(), PlanOptions(scaler="metrics-api"), PlanOptions(gateway_image="own:1", gateway_replicas=2)]
LONGEST = "a" * 55


def together(plans: list[Plan], options: PlanOptions = OPTIONS[0]) -> list[Any]:
    """All objects of the namespace of these plans."""
    shared = plan_namespace("ai", plans, options)
    assert not shared.refused
    return [*shared.objects, *(item for made in plans for item in made.objects)]


def one(spec: Any = None, runtime_spec: Any = None, options: PlanOptions = OPTIONS[0], **metadata: Any) -> Plan:
    return make_plan(
        service(spec, **metadata), runtimes=[runtime(runtime_spec)], host=host(), target="cluster", options=options
    )


def objects(made: Plan) -> dict[tuple[str, str], Any]:
    return {(item["kind"], item["metadata"]["name"]): item for item in made.objects}


# ---------------------------------------------------------------- valid


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", SERVICES)
def test_golden_inputs_are_valid(name: str, options: PlanOptions) -> None:
    manifests = parse_manifests(f"{RUNTIME}\n---\n{SERVICES[name]}")
    [wanted] = manifests.services
    made = make_plan(wanted, runtimes=manifests.runtimes, host=host(), target="cluster", options=options)
    shared = plan_namespace(wanted.metadata.namespace, [made], options)
    check([*shared.objects, *made.objects])


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_objects_of_every_shipped_runtime_are_valid(name: str) -> None:
    spec = {"runtime": {"name": name}, "resources": {"memory": "64Gi"}, "cache": {"prewarm": True}}
    made = make_plan(service(spec), runtimes=[SHIPPED[name]], host=VENDORS, target="cluster")
    check(together([made]))
    assert len(of(made.objects, "Job")) == 1
    assert EXAMPLES


NAMES = st.one_of(st.from_regex(r"[a-z]([-a-z0-9]{0,53}[a-z0-9])?", fullmatch=True), st.just(LONGEST))
ENDPOINT = maybe(
    gateway=st.sampled_from(["shared", "dedicated"]),
    aliases=st.lists(st.sampled_from(["a", "b", "b c", " b", "b\n", "tiny", "Ünder"]), max_size=4),
    coldStart=maybe(mode=st.sampled_from(["keepalive", "reject"])),
)
MORE = st.fixed_dictionaries(
    {"spec": SPECS, "endpoint": ENDPOINT, "timeout": st.sampled_from(["0s", "90s", "5m"]), "secrets": st.integers(0, 2)}
)


ANY_NAMESPACE = {
    "wanted": st.dictionaries(NAMES, MORE, max_size=4),
    "acme": RUNTIMES,
    "path": st.sampled_from([None, "health", "/a b", "/x?y=%20&z", "/é"]),
    "options": st.sampled_from(OPTIONS),
}


@settings(max_examples=150, deadline=None)
@given(**ANY_NAMESPACE)
def test_any_services_of_a_namespace_are_valid_together(
    wanted: dict[str, Any], acme: Any, path: str | None, options: PlanOptions
) -> None:
    plans = plans_of(wanted, acme, path, options)
    shared = plan_namespace("ai", plans, options)
    assert shared == plan_namespace("ai", plans[::-1], options)
    check(applied(plans, shared))


def applied(plans: list[Plan], shared: NamespacePlan) -> list[Any]:
    """What an operator applies of them."""
    kept = [made for made in plans if made.service.metadata.name not in shared.refused]
    return [*shared.objects, *(item for made in kept for item in made.objects)]


def plans_of(wanted: dict[str, Any], acme: Any, path: str | None, options: PlanOptions) -> list[Plan]:
    """The plans of those services that have one."""
    if path is not None:
        acme = {**acme, "health": {"readiness": {"httpGet": {"path": path, "port": "http"}}}}
    plans = []
    for name, more in wanted.items():
        spec = more["spec"]
        spec["endpoint"] = more["endpoint"]
        spec["scaling"] = {**spec.get("scaling", {}), "activationTimeout": more["timeout"]}
        spec["imagePullSecrets"] = [{"name": f"secret-{number}"} for number in range(more["secrets"])]
        try:
            plans.append(
                make_plan(
                    service(spec, name=name),
                    runtimes=[runtime(acme), runtime(vendor="zeta")],
                    host=HOST,
                    target="cluster",
                    options=options,
                )
            )
        except HearthError:
            continue
    return plans


HOST = host("acme", "zeta")


def test_the_longest_name_fits_everywhere() -> None:
    for gateway in ("shared", "dedicated"):
        made = one({"endpoint": {"gateway": gateway}, "cache": {"prewarm": True}}, name=LONGEST)
        check(together([made]))
        [scaled] = of(made.objects, "ScaledObject")
        assert scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["name"] == f"hpa-{LONGEST}"
    [scaled] = of(one(name="a" * 54).objects, "ScaledObject")
    assert "name" not in scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]


# ---------------------------------------------------------------- what each is for


def test_the_order_is_that_of_applying() -> None:
    made = one({"cache": {"prewarm": True}, "endpoint": {"gateway": "dedicated"}})
    assert [(item["kind"], item["metadata"]["name"]) for item in made.objects] == [
        ("PersistentVolumeClaim", "tiny-cache"),
        ("ServiceAccount", "tiny-gateway"),
        ("Role", "tiny-gateway"),
        ("RoleBinding", "tiny-gateway"),
        ("ConfigMap", "tiny-gateway"),
        ("Deployment", "tiny-gateway"),
        ("Service", "tiny-backend"),
        ("Service", "tiny"),
        ("Job", "tiny-prewarm"),
        ("Deployment", "tiny"),
        ("ScaledObject", "tiny"),
    ]
    shared = plan_namespace("ai", [one()])
    assert [(item["kind"], item["metadata"]["name"]) for item in shared.objects] == [
        (kind, "hearth-gateway")
        for kind in ("ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Deployment", "Service")
    ]


def test_the_services_of_a_service() -> None:
    made = objects(one(runtime_spec={"container": {"image": "e", "port": {"name": "api", "containerPort": 9000}}}))
    backend = made["Service", "tiny-backend"]["spec"]
    assert backend["selector"] == {"serving.hearth.dev/llmservice": "tiny"}
    assert [(port["port"], port["targetPort"]) for port in backend["ports"]] == [(80, "api")]
    assert "publishNotReadyAddresses" not in backend  # slices list them anyway, and would call them ready
    clients = made["Service", "tiny"]["spec"]
    assert clients["selector"] == {"serving.hearth.dev/gateway": "hearth-gateway"}
    assert [(port["port"], port["targetPort"]) for port in clients["ports"]] == [(80, "http")]
    dedicated = objects(one({"endpoint": {"gateway": "dedicated"}}))
    assert dedicated["Service", "tiny"]["spec"]["selector"] == {"serving.hearth.dev/gateway": "tiny"}
    assert list(made) == list(objects(one(options=OPTIONS[1])))  # the mode changes what KEDA does, and no object


@pytest.mark.parametrize("options", OPTIONS)
def test_the_gateways_replicas_are_found_at_both_ports(options: PlanOptions) -> None:
    """KEDA asks at the Service's scaler port; the replicas ask each other at the slices' port of that name."""
    shared = gateway(plan_namespace("ai", [one(options=options)], options))["Service"]
    own = objects(one({"endpoint": {"gateway": "dedicated"}}, options=options))["Service", "tiny"]
    for item in (shared, own):
        ports = [(port["name"], port["port"], port["targetPort"]) for port in item["spec"]["ports"]]
        assert ports == [("http", 80, "http"), ("scaler", 9090, "scaler")]


@pytest.mark.parametrize(("gateway", "expected"), [("shared", "hearth-gateway"), ("dedicated", "own")])
def test_which_gateway_serves_a_service(gateway: str, expected: str) -> None:
    made = one({"endpoint": {"gateway": gateway}}, name="own")
    name = gateway_name(made.service)
    found = of([*plan_namespace("ai", [made]).objects, *made.objects], "Deployment", "ConfigMap")
    [deployment] = [item for item in found if (item["kind"], item["metadata"]["name"]) == ("Deployment", name)]
    assert ("ConfigMap", name) in [identity(item) for item in found]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert f"--peers={gateway_service_name(made.service)}" in container["args"]
    assert gateway_service_name(made.service) == expected


def scaled(made: Plan) -> Any:
    [item] = of(made.objects, "ScaledObject")
    return item["spec"]


def test_keda_is_told_at_once_or_asks() -> None:
    scaling = {"scaling": {"max": 3, "target": 4, "scaleDownStabilization": "90s"}}
    assert scaled(one(scaling)) == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "tiny"},
        "minReplicaCount": 0,
        "maxReplicaCount": 3,
        "pollingInterval": 5,
        "cooldownPeriod": 90,
        "initialCooldownPeriod": 90,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 90}}}},
        "triggers": [
            {
                "type": "external-push",
                "metadata": {"scalerAddress": "hearth-gateway.ai.svc:9090", "targetValue": "4"},
            }
        ],
    }
    assert scaled(one(scaling, options=OPTIONS[1]))["triggers"] == [
        {
            "type": "metrics-api",
            "metadata": {
                "url": "http://tiny.ai.svc/tiny/hearth/queue",
                "valueLocation": "pending",
                "targetValue": "4",
                "activationTargetValue": "0",
            },
        }
    ]


def test_a_service_may_choose_its_scaler() -> None:
    for cluster in OPTIONS:
        for mode, kind in (("push", "external-push"), ("metrics-api", "metrics-api")):
            made = one({"scaling": {"scaler": mode}}, options=cluster)
            assert [trigger["type"] for trigger in scaled(made)["triggers"]] == [kind]
            assert f"({kind}, " in made.reasons[-1]
    local = plan({"scaling": {"scaler": "push"}}, target="local")
    assert "spec.scaling.scaler push has no effect: there is no KEDA on one machine" in local.warnings


def test_keda_asks_a_gateway_of_its_own() -> None:
    [trigger] = scaled(one({"endpoint": {"gateway": "dedicated"}}))["triggers"]
    assert trigger["metadata"]["scalerAddress"] == "tiny.ai.svc:9090"


def test_the_gateways_ip_takes_the_place_of_its_name() -> None:
    [item] = [item for item in one().objects if item["kind"] == "ScaledObject"]
    for address, written in (("10.1.2.3", "10.1.2.3:9090"), ("fd00::1", "[fd00::1]:9090")):
        [trigger] = bind(item, LiveValues(gateway_ip=address))["spec"]["triggers"]
        assert trigger == {
            "type": "external-push",
            "metadata": {"scalerAddress": written, "targetValue": trigger["metadata"]["targetValue"]},
        }
    [polled] = [item for item in one(options=OPTIONS[1]).objects if item["kind"] == "ScaledObject"]
    assert bind(polled, LiveValues(gateway_ip="10.1.2.3")) == polled


async def test_the_gateway_answers_where_keda_asks() -> None:
    made = one(options=OPTIONS[1])
    url = urlsplit(scaled(made)["triggers"][0]["metadata"]["url"])
    gateway = Gateway()
    await gateway.start("127.0.0.1", 0)

    async def ask() -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return head.split()[1], body

    try:
        gateway.apply(parse_services({"services": [{**made.gateway, "name": "other"}]}))
        assert (await ask())[0] == b"404"  # not the demand of another
        gateway.apply(parse_services({"services": [made.gateway]}))
        status, body = await ask()
        assert (status, json.loads(body)["pending"]) == (b"200", 0)
    finally:
        await gateway.stop(1)


def test_a_service_that_never_sleeps_has_nothing_of_sleeping() -> None:
    spec = scaled(one({"scaling": {"min": 1, "max": 2}}))
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, 2)
    assert not {"pollingInterval", "cooldownPeriod", "initialCooldownPeriod", "fallback", "idleReplicaCount"} & set(
        spec
    )


def job(made: Plan) -> Any:
    [item] = of(made.objects, "Job")
    return item


PREWARM: dict[str, Any] = {"cache": {"prewarm": True}}


def test_prewarm_downloads_what_the_engine_will_ask_for() -> None:
    for args, expected in (([], ["acme/tiny"]), (["--revision=v2"], ["acme/tiny", "v2"])):
        made = job(one({**PREWARM, "runtime": {"argsOverride": args}}))
        [container] = made["spec"]["template"]["spec"]["containers"]
        assert (container["image"], container["args"]) == ("engine:1", expected)


@pytest.mark.parametrize(
    ("uri", "module", "expected"),
    [
        ("hf://a/b", "huggingface_hub", {"ignore_patterns": ["original/*"], "revision": "v2"}),
        ("modelscope://a/b", "modelscope", {"revision": "v2"}),
    ],
)
def test_prewarm_runs(uri: str, module: str, expected: dict[str, Any], tmp_path: Path) -> None:
    """The command as it stands in the Job, with a library that only says how it was called."""
    (tmp_path / f"{module}.py").write_text("def snapshot_download(*args, **kwargs): return [args, kwargs]\n")
    spec = {**PREWARM, "model": {"source": {"uri": uri}}, "runtime": {"argsOverride": ["--revision", "v2"]}}
    [container] = job(one(spec))["spec"]["template"]["spec"]["containers"]
    argv = [sys.executable, *container["command"][1:], *container["args"]]
    done = subprocess.run(argv, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == [("a/b",), expected]


@pytest.mark.parametrize("requirements", [[], [{"key": "old", "operator": "DoesNotExist"}]])
def test_prewarm_is_kept_to_nodes_and_keeps_its_digest(requirements: list[Any]) -> None:
    made = one(PREWARM, {"accelerator": {"resourceName": "acme.dev/chip", "nodeRequirements": requirements}})
    before = job(made)
    kept = bind(before, LiveValues(hostnames=("a", "b")))
    check([*(item for item in together([made]) if item["kind"] != "Job"), kept])
    spec = kept["spec"]["template"]["spec"]
    [term] = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    hostnames = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["a", "b"]}
    assert term == {"matchExpressions": [*requirements, hostnames]}
    assert kept["metadata"] == before["metadata"]
    assert {**spec, "affinity": None} == {**before["spec"]["template"]["spec"], "affinity": None}
    assert job(made) == before, "what is planned is not touched"


def test_prewarm_uses_the_engines_place_and_none_of_its_devices() -> None:
    runtime_spec = {
        "container": {
            "image": "e",
            "env": [
                {"name": "HF_ENDPOINT", "value": "http://mirror"},
                {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}},
                {"name": "HF_HUB_OFFLINE", "value": "1"},
                {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
                {"name": "TORCH_DEVICE_BACKEND_AUTOLOAD", "value": "1"},
                {"name": "ACME_VISIBLE_DEVICES", "value": "all"},
            ],
        },
        "accelerator": {
            "resourceName": "acme.dev/chip",
            "nodeSelector": {"chip": "big"},
            "tolerations": [{"key": "acme.dev/chip", "operator": "Exists"}],
            "nodeRequirements": [{"key": "old", "operator": "DoesNotExist"}],
            "scheduler": {"name": "volcano", "queue": "llm"},
        },
        "pod": {
            "runtimeClassName": "acme",
            "hostMounts": [{"hostPath": "/opt/driver"}],
            "securityContext": {"runAsUser": 1000, "fsGroup": 1000, "seccompProfile": {"type": "Unconfined"}},
            "containerSecurityContext": {"runAsGroup": 39, "privileged": True},
            "noDeviceEnv": [{"name": "ACME_VISIBLE_DEVICES", "value": "void"}],
        },
    }
    made = one({**PREWARM, "imagePullSecrets": [{"name": "reg"}]}, runtime_spec)
    pod = job(made)["spec"]["template"]["spec"]
    serving = made.pod["spec"]
    assert all(
        pod[field] == serving[field] for field in ("nodeSelector", "tolerations", "affinity", "imagePullSecrets")
    )
    assert not {"schedulerName", "runtimeClassName"} & set(pod)
    assert pod["volumes"] == [{"name": "cache", "persistentVolumeClaim": {"claimName": "tiny-cache"}}]
    restricted(pod, root=True)
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 1000
    [container] = pod["containers"]
    assert container["securityContext"]["runAsGroup"] == 39
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert env["TORCH_DEVICE_BACKEND_AUTOLOAD"] == "0"
    assert env["ACME_VISIBLE_DEVICES"] == "void"
    assert env["HF_ENDPOINT"] == "http://mirror"
    assert env["HF_HOME"] == "/cache/hf"
    assert "HF_TOKEN" in env
    assert not {"HF_HUB_OFFLINE", "LIMIT"} & set(env)
    labels = job(made)["spec"]["template"]["metadata"]["labels"]
    assert "serving.hearth.dev/llmservice" not in labels  # or its pods would be backends


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"cache": {"prewarm": True, "strategy": "None"}},
        {**PREWARM, "model": {"source": {"uri": "pvc://weights"}}},
    ],
)
def test_nothing_to_prewarm(spec: dict[str, Any]) -> None:
    assert not of(one(spec).objects, "Job")


def test_the_jobs_digest_tells_when_it_has_to_be_replaced() -> None:
    def digest(*args: Any) -> str:
        return str(job(one(*args))["metadata"]["annotations"]["serving.hearth.dev/template"])

    assert digest(PREWARM) == digest({**PREWARM, "scaling": {"max": 2}})
    assert digest(PREWARM) != digest({**PREWARM, "model": {"source": {"uri": "hf://acme/other"}}})
    assert digest(PREWARM) != digest(PREWARM, {"container": {"image": "engine:2"}})


def test_compiled_kernels_are_kept_apart_by_image_and_runtime() -> None:
    def root(runtime_spec: Any = None, spec: Any = None) -> str | None:
        env = {variable["name"]: variable.get("value") for variable in one(spec, runtime_spec).serving.get("env", ())}
        return env.get("VLLM_CACHE_ROOT")

    first = root()
    assert first is not None
    assert first.startswith("/cache/compile/vllm-acme-")
    assert first == root(spec={"scaling": {"max": 2}})
    assert first != root({"container": {"image": "engine:2"}})
    assert root(spec={"cache": {"strategy": "None"}}) is None
    assert root(spec={"model": {"source": {"uri": "pvc://w"}}}) is None
    own = {"container": {"image": "e", "env": [{"name": "VLLM_CACHE_ROOT", "value": "/own"}]}}
    assert root(own) == "/own"


# ---------------------------------------------------------------- the gateway


def gateway(shared: NamespacePlan) -> dict[str, Any]:
    return {item["kind"]: item for item in shared.objects}


def entries(shared: NamespacePlan) -> dict[str, Any]:
    document = json.loads(gateway(shared)["ConfigMap"]["data"]["services.json"])
    assert len(parse_services(document)) == len(document["services"])
    return {entry["name"]: entry for entry in document["services"]}


def test_one_gateway_serves_a_namespace() -> None:
    plans = [one(name="b"), one(name="a"), one({"endpoint": {"gateway": "dedicated"}}, name="own")]
    shared = plan_namespace("ai", plans)
    assert list(entries(shared)) == ["a", "b"]
    assert entries(shared)["a"] == plans[1].gateway
    [own] = json.loads(objects(plans[2])["ConfigMap", "own-gateway"]["data"]["services.json"])["services"]
    assert own == plans[2].gateway
    assert plan_namespace("ai", plans[2:]).objects == ()
    assert plan_namespace("ai", []).objects == ()


def test_services_that_come_and_go_do_not_restart_the_gateway() -> None:
    few = plan_namespace("ai", [one(name="a")])
    many = plan_namespace(
        "ai",
        [
            one(name="a"),
            one({"imagePullSecrets": [{"name": "reg"}], "scaling": {"activationTimeout": "2h"}}, name="b"),
        ],
    )
    assert gateway(few)["Deployment"] == gateway(many)["Deployment"]
    assert gateway(many)["ServiceAccount"]["imagePullSecrets"] == [{"name": "reg"}]


def test_the_gateways_pods() -> None:
    deployment = gateway(plan_namespace("ai", [one()]))["Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    restricted(pod)
    [container] = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["args"] == [
        "--config-map=hearth-gateway",
        "--peers=hearth-gateway",
        "--listen=:8080",
        "--scaler-listen=:9090",
        "--grace=900",
    ]
    assert pod["terminationGracePeriodSeconds"] > 900
    own = objects(one({"endpoint": {"gateway": "dedicated"}}, options=OPTIONS[1]))["Deployment", "tiny-gateway"]
    [container] = own["spec"]["template"]["spec"]["containers"]
    assert container["args"][:2] == ["--config-map=tiny-gateway", "--peers=tiny"]
    assert [port["name"] for port in container["ports"]] == ["http", "scaler"]


def test_neither_scaler_mode_restarts_the_gateway() -> None:
    push, poll = (gateway(plan_namespace("ai", [one()], options)) for options in OPTIONS[:2])
    assert push == poll


def test_a_budget_for_several_replicas_only() -> None:
    assert "PodDisruptionBudget" not in gateway(plan_namespace("ai", [one()]))
    several = gateway(plan_namespace("ai", [one()], OPTIONS[2]))
    assert several["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert several["Deployment"]["spec"]["replicas"] == 2
    assert several["Deployment"]["spec"]["template"]["spec"]["containers"][0]["image"] == "own:1"


def test_what_the_owner_of_the_cluster_says_of_gateways() -> None:
    pod = parse_gateway_pod(
        '{"resources": {"limits": {"memory": "4Gi"}}, "imagePullPolicy": "Never", "imagePullSecrets": ["mirror"],'
        ' "nodeSelector": {"pool": "cpu"}, "tolerations": [{"key": "pool", "operator": "Exists"}], "priorityClassName": "high"}'
    )
    spec = gateway(plan_namespace("ai", [one()], PlanOptions(gateway_pod=pod)))["Deployment"]["spec"]["template"][
        "spec"
    ]
    assert spec["containers"][0]["resources"] == {"limits": {"memory": "4Gi"}}
    assert spec["containers"][0]["imagePullPolicy"] == "Never"
    assert spec["imagePullSecrets"] == [{"name": "mirror"}]
    assert spec["nodeSelector"] == {"pool": "cpu"}
    assert spec["tolerations"] == [{"key": "pool", "operator": "Exists"}]
    assert spec["priorityClassName"] == "high"


def test_the_default_image_has_the_gateways_version() -> None:
    from importlib.metadata import version

    assert PlanOptions().gateway_image.endswith(f":{version('hearth-gateway')}")


def test_the_older_service_keeps_an_alias() -> None:
    def named(name: str, created: str, *aliases: str) -> Plan:
        return one({"endpoint": {"aliases": list(aliases)}}, name=name, creationTimestamp=created)

    old, new = named("new", "2026-02-01T00:00:00Z", "x", "y", "old"), named("old", "2026-01-01T00:00:00Z", "x", "x")
    shared = plan_namespace("ai", [old, new])
    assert entries(shared)["old"]["aliases"] == ["x"]
    assert entries(shared)["new"]["aliases"] == ["y"]
    assert shared.warnings == {
        "new": (
            "spec.endpoint.aliases: 'x' has no effect: it leads to LLMService 'old'",
            "spec.endpoint.aliases: 'old' has no effect: it leads to LLMService 'old'",
        )
    }


def test_names_that_are_derived_names_of_others_are_refused() -> None:
    older, newer = one(name="foo"), one(name="foo-backend")
    shared = plan_namespace("ai", [newer, older])
    assert list(shared.refused) == ["foo-backend"]
    assert "needs the Service 'foo-backend', which is that of LLMService 'foo'" in shared.refused["foo-backend"].message
    assert list(entries(shared)) == ["foo"]


@pytest.mark.parametrize(
    ("name", "namespace", "kind", "owner"),
    [
        ("hearth-gateway", "ai", "shared", "the gateway that its namespace shares"),
        ("hearth", "ai", "dedicated", "the gateway that its namespace shares"),
        ("kubernetes", "default", "shared", "the API server's Service"),
    ],
)
def test_names_that_are_not_free(name: str, namespace: str, kind: str, owner: str) -> None:
    wanted = service({"endpoint": {"gateway": kind}}, name=name, namespace=namespace)
    with pytest.raises(PlanningError, match=owner) as caught:
        make_plan(wanted, runtimes=[runtime()], host=host(), target="cluster")
    assert caught.value.reason == "ReservedName"
    assert make_plan(wanted, runtimes=[runtime()], host=host(), target="local").objects == ()
    assert one(name="kubernetes").objects


def test_a_namespace_may_have_more_services_than_a_config_map_holds() -> None:
    long = [f"{'x' * 240}{number}" for number in range(5000)]
    first, second = (
        one({"endpoint": {"aliases": names}}, name=name) for name, names in (("a", long[:2500]), ("b", long[2500:]))
    )
    third = one(name="c")
    shared = plan_namespace("ai", [third, second, first])
    assert list(shared.refused) == ["b"]
    assert shared.refused["b"].reason == "TooManyServices"
    assert list(entries(shared)) == ["a", "c"]


def notices(objects: Any, name: str) -> Any:
    [config] = [item for item in of(objects, "ConfigMap") if item["metadata"]["name"] == name]
    return json.loads(config["data"]["notices.json"]) if "notices.json" in config["data"] else None


def bound(objects: Any, **live: Any) -> list[Any]:
    return [bind(item, LiveValues(**live)) for item in objects]


def test_what_waiting_clients_are_told() -> None:
    plans = [one(name="a"), one(name="b")]
    quiet = plan_namespace("ai", plans)
    told = bound(quiet.objects, notices={"b": "no node has\n acme.dev/chip", "gone": "x", "a": ""})
    assert notices(quiet.objects, "hearth-gateway") is None
    assert notices(told, "hearth-gateway") == {"b": "no node has acme.dev/chip"}
    assert [item for item in told if item not in quiet.objects] == of(told, "ConfigMap")


def test_a_gateway_of_its_own_tells_its_own_clients() -> None:
    own = one({"endpoint": {"gateway": "dedicated"}})
    told = bound(own.objects, notices={"tiny": "no node has acme.dev/chip"})
    assert notices(told, "tiny-gateway") == {"tiny": "no node has acme.dev/chip"}
    assert [item for item in told if item not in own.objects] == of(told, "ConfigMap")


def test_notices_never_make_the_config_map_too_large() -> None:
    plans = [one(name=f"a{number}") for number in range(60)]
    long = [f"{'x' * 240}{number}" for number in range(3900)]
    full = one({"endpoint": {"aliases": long}}, name="full")
    sentences = {made.service.metadata.name: "é" * 400 for made in plans}
    told = bound(plan_namespace("ai", [*plans, full]).objects, notices=sentences)
    said = notices(told, "hearth-gateway")
    assert 0 < len(said) < len(plans)
    assert {len(sentence) for sentence in said.values()} == {300}
    assert said["a0"].endswith("é…")
    check([*told, *(item for made in [*plans, full] for item in made.objects)])


# ---------------------------------------------------------------- in words


def test_the_plan_says_where_clients_go_and_who_scales() -> None:
    lines = "\n".join(one().reasons)
    assert (
        "gateway hearth-gateway: shared by the services of namespace ai; clients find this one at http://tiny.ai.svc/v1"
        in lines
    )
    assert (
        "scaler: the gateway tells KEDA at once that a request waits (external-push, hearth-gateway.ai.svc:9090)"
        in lines
    )
    assert "scaler: KEDA asks the gateway every 5 s" in "\n".join(one(options=OPTIONS[1]).reasons)
    assert "nothing goes to zero" in "\n".join(one({"scaling": {"min": 1}}).reasons)
    own = "\n".join(one({"endpoint": {"gateway": "dedicated"}}).reasons)
    assert "gateway tiny-gateway: serves this service alone" in own
    local = plan(target="local")
    assert not [reason for reason in local.reasons if reason.startswith(("gateway", "scaler"))]
    assert as_document(local)["objects"] == []


def test_the_example_is_valid() -> None:
    example = Path(__file__).parents[2] / "examples" / "qwen3-8b.yaml"
    [wanted] = load_manifests([example]).services
    assert isinstance(wanted, LLMService)
    made = make_plan(wanted, runtimes=list(SHIPPED.values()), host=VENDORS, target="cluster")
    check(together([made]))
