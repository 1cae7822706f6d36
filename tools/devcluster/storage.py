"""The default StorageClass: volumes are folders of the node, made and removed by kube-controller-manager itself.

Kubernetes keeps this provisioner for development. Its folders belong to root, with mode 0750: pods of another user can
mount them, not write to them.
"""

from __future__ import annotations

from typing import Any

NAME = "node-folder"


def manifest() -> dict[str, Any]:
    """Return the StorageClass."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": NAME, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/host-path",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
