"""Keys and certificates, made by openssl. Elliptic curves: ten RSA keys would cost seconds."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tools.devcluster.addresses import Addresses
from tools.devcluster.command import run
from tools.devcluster.errors import NodeError

DAYS = 3650


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate to be made."""

    name: str
    subject: str
    authority: str = "ca"
    alternatives: tuple[str, ...] = ()


AUTHORITIES = ("ca", "front-proxy-ca")


def requests(node: str, addresses: Addresses) -> tuple[Request, ...]:
    """Every certificate of the cluster."""
    service = tuple(f"DNS:kubernetes{rest}" for rest in ("", ".default", ".default.svc", ".default.svc.cluster.local"))
    return (
        Request(
            "apiserver",
            "/CN=kube-apiserver",
            alternatives=(
                *service,
                "DNS:localhost",
                "IP:127.0.0.1",
                f"IP:{addresses.api}",
                f"IP:{addresses.node}",
            ),
        ),
        Request("admin", "/O=system:masters/CN=admin"),
        # A user of its own: the API server may do with the kubelet what it must, and its calls are told from people's.
        Request("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
        Request("controller-manager", "/CN=system:kube-controller-manager"),
        Request("scheduler", "/CN=system:kube-scheduler"),
        Request("proxy", "/CN=system:kube-proxy"),
        Request(
            "kubelet",
            f"/O=system:nodes/CN=system:node:{node}",
            alternatives=(f"DNS:{node}", f"IP:{addresses.node}", "IP:127.0.0.1"),
        ),
        Request("front-proxy-client", "/CN=front-proxy-client", authority="front-proxy-ca"),
    )


def extensions(request: Request) -> str:
    """Return the openssl extension file of a certificate."""
    lines = [
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature,keyEncipherment",
        "extendedKeyUsage=serverAuth,clientAuth",
    ]
    if request.alternatives:
        lines.append(f"subjectAltName={','.join(request.alternatives)}")
    return "\n".join(lines) + "\n"


def _openssl(*arguments: str) -> None:
    run(["openssl", *arguments], error=NodeError)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make_pki(folder: Path, node: str, addresses: Addresses) -> None:
    """Make every key and certificate, or none: the folder appears whole. Does nothing when it is there."""
    if folder.exists():
        return
    work = Path(tempfile.mkdtemp(prefix=".pki-", dir=folder.parent))
    try:
        for name in AUTHORITIES:
            key, crt = str(work / f"{name}.key"), str(work / f"{name}.crt")
            _openssl("req", "-x509", *_NEW_KEY, "-keyout", key, "-out", crt, "-days", str(DAYS), "-subj", f"/CN={name}")
        for number, request in enumerate(requests(node, addresses), start=1):
            key, crt, csr, ext = (str(work / f"{request.name}.{kind}") for kind in ("key", "crt", "csr", "ext"))
            Path(ext).write_text(extensions(request))
            authority = str(work / request.authority)
            _openssl("req", *_NEW_KEY, "-keyout", key, "-out", csr, "-subj", request.subject)
            _openssl(
                *("x509", "-req", "-in", csr, "-out", crt, "-days", str(DAYS), "-extfile", ext),
                *("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-set_serial", str(number)),
            )
            Path(ext).unlink()
            Path(csr).unlink()
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(work / "service-account.key"))
        _openssl("ec", "-in", str(work / "service-account.key"), "-pubout", "-out", str(work / "service-account.pub"))
        for file in work.iterdir():
            file.chmod(0o600)
        os.replace(work, folder)  # noqa: PTH105 - the name that says what it does
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
