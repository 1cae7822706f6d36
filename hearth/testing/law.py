"""Laws of the plugin contract, by number, and the breach of one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Law:
    """One of the sixteen laws of the plugin contract. `title` is the law as a sentence."""

    number: int
    name: str
    title: str


DETERMINISM = Law(1, "determinism", "the same arguments give the same result, in every process")
NO_MUTATION = Law(2, "no_mutation", "a hook changes none of its arguments")
NO_ACCESS = Law(3, "no_access", "a hook uses no file, network, process, clock or environment")
ADDITIVE = Law(4, "additive", "everything that the pod has without the plugin, it has with it")
NO_CLOBBER = Law(5, "no_clobber", "service and runtime win over the plugin, and never silently")
UNIQUE_KEYS = Law(6, "unique_keys", "no variable, volume, mount path, port or device is there twice")
VALIDITY = Law(7, "validity", "every name, path and amount is one that Kubernetes accepts")
MERGE_IDEMPOTENCE = Law(8, "merge_idempotence", "adding what is there already changes nothing")
VENDOR_ISOLATION = Law(9, "vendor_isolation", "other plugins, good or broken, make no difference")
ORDER_INDEPENDENCE = Law(10, "order_independence", "the order of plugins and runtimes makes no difference")
TOTALITY = Law(11, "totality", "a valid input gives a value or PluginRejects, in time")
JSON_ROUND_TRIP = Law(12, "json_round_trip", "everything survives being written as JSON and read again")
METAMORPHIC = Law(13, "metamorphic", "n accelerators are n devices; CPU and names change nothing else")
PACKAGED_RUNTIMES = Law(14, "packaged_runtimes", "shipped runtimes parse, are the vendor's and render")
LOCAL_LAUNCH = Law(15, "local_launch", "a local process sees its own devices and no others")
SELECTOR_LABELS = Law(16, "selector_labels", "no label of the vendor is in a selector")


class LawBroken(AssertionError):
    """A breach of a law: which hook, on which input, and what to do about it.

    `hook` is empty when no single hook is to blame. `check_law` fills in `law` and `vendor`.
    """

    def __init__(self, problem: str, *, hook: str = "", remedy: str, given: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hook = hook
        self.remedy = remedy
        self.given = given
        self.law: Law | None = None
        self.vendor = ""

    def __str__(self) -> str:
        law = f"law {self.law.number} ({self.law.name}): {self.law.title}\n" if self.law else ""
        where = f"  vendor {self.vendor!r}" + (f", {self.hook}: " if self.hook else ": ")
        given = "".join(f"\n    {line}" for line in self.given.splitlines())
        return f"{law}{where}{self.problem}" + (f"\n  input:{given}" if given else "") + f"\n  remedy: {self.remedy}"
