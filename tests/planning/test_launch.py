"""One replica as a process: what the local supervisor gets."""

from __future__ import annotations

import pytest

from hearth.planning import HttpProbe, PlanningError, local_devices, local_inventory_sources, local_launch, make_plan
from hearth.plugins import Device, InventoryOutput, InventorySource, LocalLaunch, PluginRejects, VendorHost
from tests.planning.plans import plan, runtime, service
from tests.support.vendors import host

HEALTH = HttpProbe(
    path="/health",
    port=9001,
    headers={},
    initial_delay=0,
    period=10,
    timeout=1,
    success_threshold=1,
    failure_threshold=3,
)


def test_a_replica() -> None:
    made = plan(
        {"runtime": {"argsOverride": ["--max-model-len=512"]}, "scaling": {"drainTimeout": "90s"}},
        {
            "lifecycle": {"preStopDrain": True},
            "container": {
                "image": "e",
                "args": ["{{ .Model.Path }}", "--served-model-name={{ .Service.Name }}"],
                "env": [{"name": "MODE", "value": "{{ .Service.Name }}"}],
            },
        },
        target="local",
    )
    launch = local_launch(made, host=host(), devices=["0", "1"], port=9001)
    assert launch.argv == (
        "acme-engine",
        "acme/tiny",
        "--served-model-name=tiny",
        "--max-model-len=512",
        "--host",
        "127.0.0.1",
        "--port",
        "9001",
    )
    assert launch.env == {"MODE": "tiny", "CHIPS": "0,1"}
    assert (launch.host, launch.port, launch.cwd) == ("127.0.0.1", 9001, None)
    assert launch.readiness == HEALTH
    assert (launch.startup.period, launch.startup.failure_threshold) == (10, 60)
    assert launch.liveness is None
    assert (launch.drain_timeout, launch.grace_period) == (90, 100)


def test_no_cache_of_the_pod_reaches_the_process() -> None:
    made = plan(target="local")
    assert "env" not in made.serving
    assert made.objects == ()
    assert local_launch(made, host=host(), devices=["0"], port=1).env == {"CHIPS": "0"}


def test_disjoint_devices_give_disjoint_environments() -> None:
    made = plan(target="local")
    first, second = (local_launch(made, host=host(), devices=[device], port=1) for device in "01")
    assert first.env["CHIPS"] != second.env["CHIPS"]
    assert first == local_launch(made, host=host(), devices=["0"], port=1)


def test_the_runtimes_variables_win_except_over_the_devices() -> None:
    def command(devices: tuple[str, ...]) -> LocalLaunch:
        return LocalLaunch(argv=("engine",), env={"CHIPS": ",".join(devices), "MODE": "plugin", "PACE": "plugin"})

    variables = [{"name": name, "value": "runtime"} for name in ("CHIPS", "MODE")]
    one = host(hearth_local_command=command)
    spec = {"container": {"image": "engine:1", "env": variables}}
    made = make_plan(service(), runtimes=[runtime(spec)], host=one, target="local")
    launch = local_launch(made, host=one, devices=["1", "2"], port=1)
    assert launch.env == {"CHIPS": "1,2", "MODE": "runtime", "PACE": "plugin"}


def test_probes_as_kubernetes_understands_them() -> None:
    probe = {
        "httpGet": {"path": "/ready", "port": "http", "httpHeaders": [{"name": "X-A", "value": "1"}]},
        "initialDelaySeconds": 3,
        "periodSeconds": 2,
        "timeoutSeconds": 4,
        "successThreshold": 1,
        "failureThreshold": 7,
    }
    made = plan(runtime_spec={"health": {"readiness": probe, "liveness": {}}}, target="local")
    launch = local_launch(made, host=host(), devices=[], port=9001)
    assert launch.readiness == HttpProbe("/ready", 9001, {"X-A": "1"}, 3, 2, 4, 1, 7)
    assert launch.liveness == HEALTH


def test_a_probe_of_another_port_keeps_it() -> None:
    health = {"readiness": {"httpGet": {"path": "/h", "port": 8000}}, "liveness": {"httpGet": {"port": 9090}}}
    launch = local_launch(plan(runtime_spec={"health": health}, target="local"), host=host(), devices=[], port=9001)
    assert launch.readiness.port == 9001
    assert launch.liveness is not None
    assert (launch.liveness.port, launch.liveness.path) == (9090, "/")


def test_a_probe_that_is_not_http_becomes_the_health_check_with_a_warning() -> None:
    health = {"readiness": {"exec": {"command": ["true"]}, "periodSeconds": 2}, "liveness": {"tcpSocket": {"port": 1}}}
    made = plan(runtime_spec={"health": health}, target="local")
    launch = local_launch(made, host=host(), devices=[], port=9001)
    assert (launch.readiness.path, launch.readiness.period) == ("/health", 2)
    assert launch.liveness is None
    assert any("the readiness probe does not use HTTP" in warning for warning in made.warnings)


def test_references_to_variables_are_expanded_as_the_kubelet_does() -> None:
    container = {
        "image": "e",
        "args": ["--a=$(A)", "--b=$(UNKNOWN)", "--c=$$(A)", "--d=$A"],
        "env": [{"name": "A", "value": "1"}],
    }
    launch = local_launch(
        plan(runtime_spec={"container": container}, target="local"), host=host(), devices=[], port=9001
    )
    assert launch.argv[1:5] == ("--a=1", "--b=$(UNKNOWN)", "--c=$(A)", "--d=$A")


def test_variables_of_the_cluster_are_left_out_with_a_warning() -> None:
    secret = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
    made = plan(runtime_spec={"container": {"image": "e", "env": [secret]}}, target="local")
    assert "HF_TOKEN" not in local_launch(made, host=host(), devices=[], port=1).env
    assert any(warning.startswith("the variable HF_TOKEN comes from Kubernetes") for warning in made.warnings)


def test_a_plan_for_a_cluster_cannot_be_launched() -> None:
    with pytest.raises(PlanningError, match="is for a cluster") as caught:
        local_launch(plan(), host=host(), devices=[], port=1)
    assert caught.value.reason == "WrongTarget"


def test_a_vendor_that_declines_or_refuses() -> None:
    made = plan(target="local")
    with pytest.raises(PlanningError, match="vendor 'acme' does not support local mode"):
        local_launch(made, host=host(hearth_local_command=lambda: None), devices=[], port=1)

    def refuses() -> LocalLaunch:
        raise PluginRejects("CardsInPairs", "two cards or none")

    with pytest.raises(PlanningError, match="two cards or none") as caught:
        local_launch(made, host=host(hearth_local_command=refuses), devices=[], port=1)
    assert caught.value.reason == "CardsInPairs"


def test_a_runtime_of_data_only() -> None:
    local = {
        "command": ["python", "-m", "vllm.entrypoints.openai.api_server"],
        "env": [{"name": "VLLM_CPU_KVCACHE_SPACE", "value": "1"}],
        "devices": ["cpu0"],
        "visibleDevicesEnv": "CPUS",
    }
    data = runtime({"adapter": "generic", "local": local}, vendor="cpu")
    nothing = VendorHost.of({})
    made = make_plan(
        service({"model": {"source": {"uri": "file:///models/tiny"}}}), runtimes=[data], host=nothing, target="local"
    )
    launch = local_launch(made, host=nothing, devices=["cpu0"], port=9001)
    assert launch.argv[:5] == (
        "python",
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model=/models/tiny",
        "--served-model-name=tiny",
    )
    assert launch.env == {"VLLM_CPU_KVCACHE_SPACE": "1", "CPUS": "cpu0"}
    [inventory] = local_inventory_sources([made], host=nothing)
    assert (inventory.vendor, inventory.source, inventory.asks_plugin) == ("cpu", None, False)
    assert local_devices(inventory, InventoryOutput(), host=nothing) == (Device(id="cpu0", name="cpu cpu0"),)


def test_inventories_are_one_per_vendor() -> None:
    source = InventorySource(command=("acme-smi",))

    def devices(output: InventoryOutput) -> list[Device]:
        return [Device(id=word, name="chip") for word in output.stdout.split()]

    one = host("acme", "zeta", hearth_local_inventory=lambda: source, hearth_local_devices=devices)
    data = {"adapter": "generic", "local": {"command": ["engine"], "devices": ["1", "9"]}}
    made = [
        make_plan(service(name=name), runtimes=[given], host=one, target="local")
        for name, given in (
            ("a", runtime(vendor="zeta")),
            ("b", runtime(vendor="acme")),
            ("c", runtime(data, vendor="acme")),
        )
    ]
    found = local_inventory_sources(made, host=one)
    assert [(inventory.vendor, inventory.source) for inventory in found] == [("acme", source), ("zeta", source)]
    ids = [device.id for device in local_devices(found[0], InventoryOutput(stdout="0 1"), host=one)]
    assert ids == ["0", "1", "9"]


def test_an_inventory_that_cannot_be_understood() -> None:
    def refuses() -> None:
        raise PluginRejects("NoDriver", "acme-smi says nothing")

    one = host(hearth_local_devices=refuses)
    [inventory] = local_inventory_sources([plan(target="local")], host=one)
    with pytest.raises(PlanningError, match="devices of vendor 'acme': acme-smi says nothing") as caught:
        local_devices(inventory, InventoryOutput(), host=one)
    assert caught.value.reason == "NoDriver"
