"""The sixteen laws of the plugin contract, by number."""

from __future__ import annotations

from hearth.testing.law import Law
from hearth.testing.laws import form, isolation, local, meaning, merging, purity, shipping

LAWS: tuple[Law, ...] = (
    Law(1, "determinism", "the same arguments give the same result, in every process", purity.determinism),
    Law(2, "no_mutation", "a hook changes none of its arguments", purity.no_mutation),
    Law(3, "no_access", "a hook uses no file, network, process, clock or environment", purity.no_access),
    Law(4, "additive", "everything that the pod has without the plugin, it has with it", merging.additive),
    Law(5, "no_clobber", "service and runtime win over the plugin, and never silently", merging.no_clobber),
    Law(6, "unique_keys", "no variable, volume, mount path, port or device is there twice", merging.unique_keys),
    Law(7, "validity", "every name, path and amount is one that Kubernetes accepts", form.validity),
    Law(8, "merge_idempotence", "adding what is there already changes nothing", merging.merge_idempotence),
    Law(9, "vendor_isolation", "other plugins, good or broken, make no difference", isolation.vendor_isolation),
    Law(
        10, "order_independence", "the order of plugins and runtimes makes no difference", isolation.order_independence
    ),
    Law(11, "totality", "a valid input gives a value or PluginRejects, in time", purity.totality),
    Law(12, "json_round_trip", "everything survives being written as JSON and read again", form.json_round_trip),
    Law(13, "metamorphic", "n accelerators are n devices; CPU and names change nothing else", meaning.metamorphic),
    Law(14, "packaged_runtimes", "shipped runtimes parse, are the vendor's and render", shipping.packaged_runtimes),
    Law(15, "local_launch", "a local process sees its own devices and no others", local.local_launch),
    Law(16, "selector_labels", "no label of the vendor is in a selector", meaning.selector_labels_are_hearths),
)
