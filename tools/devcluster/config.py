"""Command lines and configuration files of the node's components: pure functions of the claim."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tools.devcluster.addresses import Addresses
from tools.devcluster.paths import Paths

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
"""Inside the node, whose /run is its own."""

PAUSE_IMAGE = "localhost/hearth-devcluster/pause:1"

COMPONENTS = (
    "etcd",
    "containerd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)
"""In the order in which they start."""

AFTER_API = frozenset({"kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"})
"""These are started once the API server is ready; they would otherwise exit or wait in steps of seconds."""

DEFAULT_ACCELERATORS = {"hearth.dev/fake-accelerator": 4}

ETCD = "http://127.0.0.1:2379"
"""The address of etcd, inside the node."""

CGROUPS = "hearth-devcluster-"
"""How the cgroups of all clusters of this machine begin."""

MAX_PODS = 200
"""Kubernetes' default of 110 is too tight for bursts of scenarios on one node."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person chooses at `up`."""

    hpa_sync: str = "15s"
    shipped_limits: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """What a cluster is made of; written before anything is made, so that it can always be found and removed."""

    name: str
    index: int
    binaries: Mapping[str, str] = field(default_factory=dict)
    options: Options = field(default_factory=Options)

    @property
    def addresses(self) -> Addresses:
        """The cluster's address ranges."""
        return Addresses(self.index)

    @property
    def node(self) -> str:
        """The node's name."""
        return f"{self.name}-node"

    @property
    def cgroup(self) -> str:
        """The cgroup, under every controller's root, that everything of the cluster runs in."""
        return f"{CGROUPS}{self.name}"

    def to_json(self) -> str:
        """Return the claim as a file."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Claim:
        """Return the claim of a file.

        Raises ValueError when it is not one.
        """
        try:
            data = json.loads(text)
            return cls(str(data["name"]), int(data["index"]), dict(data["binaries"]), Options(**data["options"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a claim: {error}") from error


def kubeconfig(claim: Claim, pki: Path, user: str) -> str:
    """Return a kubeconfig that needs no other file. The context has the cluster's name. JSON, which is YAML."""

    def data(file: str) -> str:
        return base64.b64encode((pki / file).read_bytes()).decode()

    server = f"https://{claim.addresses.node}:6443"
    credentials = {"client-certificate-data": data(f"{user}.crt"), "client-key-data": data(f"{user}.key")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": claim.name, "cluster": {"server": server, "certificate-authority-data": data("ca.crt")}}],
        "users": [{"name": f"{claim.name}-{user}", "user": credentials}],
        "contexts": [{"name": claim.name, "context": {"cluster": claim.name, "user": f"{claim.name}-{user}"}}],
        "current-context": claim.name,
    }
    return json.dumps(document, indent=1) + "\n"


def audit_policy() -> dict[str, Any]:
    """Log what workloads' service accounts ask: the operator's, the gateways'. Not the system's own, not people's."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "userGroups": [f"system:serviceaccounts:{name}" for name in ("kube-system", "keda")]},
            {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
            {"level": "None"},
        ],
    }


def kubelet_config(claim: Claim, paths: Paths) -> dict[str, Any]:
    """Return the kubelet's configuration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{claim.cgroup}",
        "failSwapOn": False,
        "failCgroupV1": False,
        "clusterDNS": [str(claim.addresses.dns)],
        "clusterDomain": "cluster.local",
        "resolvConf": str(paths.config / "resolv.conf"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(paths.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(paths.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(paths.pki / "kubelet.key"),
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "maxPods": MAX_PODS,
        # Default 5 min: after half a minute without an API server, KEDA would be started again a minute later.
        "featureGates": {"KubeletCrashLoopBackOffMax": True},
        "crashLoopBackOff": {"maxContainerRestartPeriod": "5s"},
        "serializeImagePulls": False,
        # An extended resource patched into the status becomes allocatable at the next status update (default 10 s).
        "nodeStatusUpdateFrequency": "2s",
        # There is no registry to get an image from again.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        # A fairly full disk is no reason to evict; naming one signal sets the others to zero.
        "evictionHard": {"memory.available": "100Mi"},
        "evictionPressureTransitionPeriod": "10s",
    }


def proxy_config(claim: Claim, paths: Paths) -> dict[str, Any]:
    """Return the kube-proxy's configuration."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(paths.config / "proxy.kubeconfig")},
        "mode": "iptables",
        # Default 1 s between two syncs; on one node a sync costs milliseconds, and a test waits for each.
        "iptables": {"minSyncPeriod": "200ms"},
        "clusterCIDR": str(claim.addresses.pods),
        "hostnameOverride": claim.node,
        # The table's size is the machine's, not the namespace's: leave it alone.
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def cni_config(claim: Claim) -> dict[str, Any]:
    """Return the pod network: a bridge inside the node."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": str(claim.addresses.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": ipam,
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "hearth", "plugins": [bridge, portmap]}


def containerd_config(paths: Paths) -> str:
    """Return the containerd's configuration.

    `restrict_oom_score_adj`: without CAP_SYS_RESOURCE a pod sandbox could not lower its score and would fail.
    """
    return f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{paths.registries}"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{paths.config}/cni"
"""


def component_commands(claim: Claim, paths: Paths) -> dict[str, list[str]]:
    """Return the command line of every component."""
    config, binary = paths.config, claim.binaries

    def kubeconfig_of(user: str) -> str:
        return f"--kubeconfig={config / user}.kubeconfig"

    return {
        # On a tmpfs: the cluster does not outlive its node, so there is nothing to sync to a disk for.
        "etcd": [
            "/usr/bin/etcd",
            "--data-dir=/run/etcd",
            f"--listen-client-urls={ETCD}",
            f"--advertise-client-urls={ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--auto-compaction-retention=10m",
            "--quota-backend-bytes=2147483648",
        ],
        "containerd": ["/usr/bin/containerd", f"--config={config / 'containerd.toml'}"],
        "kube-apiserver": [binary["kube-apiserver"], *_apiserver_flags(claim, paths)],
        "kube-controller-manager": [
            binary["kube-controller-manager"],
            kubeconfig_of("controller-manager"),
            *_controller_manager_flags(claim, paths),
        ],
        "kube-scheduler": [
            binary["kube-scheduler"],
            kubeconfig_of("scheduler"),
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            "--profiling=false",
        ],
        "kubelet": [
            binary["kubelet"],
            f"--config={config / 'kubelet.yaml'}",
            kubeconfig_of("kubelet"),
            f"--hostname-override={claim.node}",
            f"--node-ip={claim.addresses.node}",
            "--v=1",
        ],
        "kube-proxy": [binary["kube-proxy"], f"--config={config / 'proxy.yaml'}"],
    }


def _apiserver_flags(claim: Claim, paths: Paths) -> list[str]:
    addresses, pki = claim.addresses, paths.pki
    return [
        f"--etcd-servers={ETCD}",
        f"--advertise-address={addresses.node}",
        "--bind-address=0.0.0.0",
        "--secure-port=6443",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        # logs and exec would otherwise look the node's name up in a DNS that does not know it.
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={pki}/service-account.pub",
        f"--service-account-signing-key-file={pki}/service-account.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-cluster-ip-range={addresses.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
        f"--proxy-client-key-file={pki}/front-proxy-client.key",
        f"--audit-policy-file={paths.config / 'audit-policy.yaml'}",
        f"--audit-log-path={paths.audit}",
        "--audit-log-maxsize=500",
        "--audit-log-maxbackup=1",
        # Lists every kind's keys from a cache that etcd 3.4 cannot prove fresh: an error line per kind and minute.
        "--feature-gates=SizeBasedListCostEstimate=false",
    ]


def _controller_manager_flags(claim: Claim, paths: Paths) -> list[str]:
    addresses, pki = claim.addresses, paths.pki
    return [
        f"--service-account-private-key-file={pki}/service-account.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        # KEDA's HPA role is bound to the service account kube-system/horizontal-pod-autoscaler.
        "--use-service-account-credentials=true",
        f"--cluster-cidr={addresses.pods}",
        f"--service-cluster-ip-range={addresses.services}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--horizontal-pod-autoscaler-sync-period={claim.options.hpa_sync}",
        # Defaults 20 and 30: a thousand services' objects would queue for minutes in front of the garbage collector.
        *(() if claim.options.shipped_limits else ("--kube-api-qps=300", "--kube-api-burst=600")),
        # The default StorageClass, see storage.py.
        "--enable-hostpath-provisioner=true",
        "--profiling=false",
    ]


def render(claim: Claim, paths: Paths) -> dict[str, str]:
    """Every configuration file: its path under the `config` folder -> its text."""
    users = ("controller-manager", "scheduler", "kubelet", "proxy")
    documents: dict[str, Any] = {
        "audit-policy.yaml": audit_policy(),
        "kubelet.yaml": kubelet_config(claim, paths),
        "proxy.yaml": proxy_config(claim, paths),
        "cni/10-hearth.conflist": cni_config(claim),
        "components.json": component_commands(claim, paths),
    }
    return {
        **{name: json.dumps(document, indent=1) + "\n" for name, document in documents.items()},
        **{f"{user}.kubeconfig": kubeconfig(claim, paths.pki, user) for user in users},
        "containerd.toml": containerd_config(paths),
        # What the node itself resolves with: an image that is not there fails at once with "no such host".
        "resolv.conf": f"nameserver {claim.addresses.dns}\noptions timeout:1 attempts:1\n",
    }
