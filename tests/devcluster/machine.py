"""What a cluster must leave as it was, and running the program as a person does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

VOLATILE = (
    "random",
    "-nr",
    "inode",
    "dentry",
    "ns_last_pid",
    "nf_conntrack_count",
    "/pty/",
    "quota",
    "nf_log",
    "/hearth-",
)
"""Parts of the names of kernel settings that are counters, or belong to an interface of a cluster."""

OTHERS = re.compile(r"hearth-devcluster-(?!devtest)|process_api|\.scope|\.service|\.slice")
"""In the names of cgroups that others make and remove meanwhile."""

LEFT_BY_NODES = ("/var/lib", "/var/log", "/run", "/srv", "/mnt", "/opt", "/etc", "/etc/cni", "/usr/libexec")


def devcluster(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the program."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.devcluster", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"devcluster {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def begin(*words: str) -> subprocess.Popen[str]:
    """Start the program; read its stderr."""
    return subprocess.Popen(
        [sys.executable, "-m", "tools.devcluster", *words], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )


def _output(*argv: str) -> list[str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    # Chains' counters and comments change; a cluster that somebody else brings up meanwhile is not the test's.
    others = re.compile("|".join(rf"\b{link}\b" for link in _interfaces_of_others()) or r"(?!)")
    return [line for line in done.stdout.splitlines() if not line.startswith(("#", ":")) and not others.search(line)]


def _interfaces_of_others() -> list[str]:
    done = subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True)
    alias = "hearth-devcluster "
    links = [(link["ifname"], link.get("ifalias", "")) for link in json.loads(done.stdout)]
    return [name for name, words in links if words.startswith(alias) and not words.startswith(f"{alias}devtest")]


def _settings() -> dict[str, str]:
    found = {}
    for folder, _, files in os.walk("/proc/sys"):
        for file in files:
            path = f"{folder}/{file}"
            if not any(part in path for part in VOLATILE):
                try:
                    found[path] = Path(path).read_text()
                except (OSError, UnicodeDecodeError):
                    continue  # written only
    return found


def snapshot() -> dict[str, object]:
    """Everything that a node could change on this machine."""
    mounts = [
        line.split()[3:]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if "/storage/overlay" not in line  # buildah, of somebody who makes images meanwhile
    ]
    cgroups = [
        folder
        for root in Path("/sys/fs/cgroup").iterdir()
        for folder in (str(path) for path in root.glob("**/") if path.is_dir())
        if not OTHERS.search(folder)
    ]
    return {
        "links": [line.split("@")[0] for line in _output("ip", "-br", "link")],
        "addresses": sorted(_output("ip", "-o", "-4", "addr")),
        "routes": sorted(_output("ip", "-4", "route", "show", "table", "all")),
        "iptables": _output("/usr/sbin/iptables-save"),
        "ip6tables": _output("/usr/sbin/ip6tables-save"),
        "mounts": sorted(mounts),
        "cgroups": sorted(cgroups),
        "settings": _settings(),
        "files": {
            folder: sorted(path.name for path in Path(folder).iterdir())
            for folder in LEFT_BY_NODES
            if Path(folder).is_dir()
        },
    }


def differences(before: dict[str, object], after: dict[str, object]) -> dict[str, object]:
    """Return what differs, by kind; both sides of it."""
    found: dict[str, object] = {}
    for kind, old in before.items():
        new = after[kind]
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            found[kind] = {key: (old.get(key), new.get(key)) for key in old | new if old.get(key) != new.get(key)}
        elif isinstance(old, list) and isinstance(new, list):
            found[kind] = ([item for item in old if item not in new], [item for item in new if item not in old])
    return found


def processes(name: str) -> list[int]:
    """Return the processes of a cluster, found by what they run and not by what the program knows."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                groups = (entry / "cgroup").read_text()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            # A zombie has ended; whoever inherited it takes note when it gets to it.
            if f"hearth-devcluster-{name}/" in groups and state != "Z":
                found.append(int(entry.name))
    return found
