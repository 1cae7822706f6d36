"""A tiny model made on the spot, the same one each time for the same name."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Mapping
from hashlib import sha1, sha256
from pathlib import Path

COPY = "original/consolidated.00.pth"
"""Some publishers keep the weights a second time; neither vLLM nor the prewarm Job downloads them."""
LARGE = (".safetensors", ".pth")


def make_model(directory: Path, name: str, size: int) -> Mapping[str, Path]:
    """Write a model whose weights have about `size` bytes; return its files by their paths in the repository."""
    files = {
        "config.json": json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}).encode(),
        "generation_config.json": b"{}",
        "tokenizer.json": json.dumps({"version": "1.0", "model": {"type": "BPE", "vocab": {}}}).encode(),
        "README.md": f"# {name}\n".encode(),
        "model.safetensors": _safetensors(name, size),
        COPY: random.Random(name + COPY).randbytes(size // 4),
    }
    for path, data in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    return {path: directory / path for path in files}


def check(path: Path) -> int:
    """Return how many bytes of tensors the file has; raises ValueError where it is cut off or something else."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    end = max(tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__")
    if len(data) != 8 + length + end:
        raise ValueError(f"{path} has {len(data)} bytes and should have {8 + length + end}")
    return int(end)


def git_digest(data: bytes) -> str:
    """Return what git, and so the hub, calls a small file."""
    return sha1(b"blob %d\0" % len(data) + data).hexdigest()


def digest(data: bytes) -> str:
    """Return what the hub calls a large file."""
    return sha256(data).hexdigest()


def _safetensors(name: str, size: int) -> bytes:
    elements = size // 2
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "lm_head.weight": {"dtype": "BF16", "shape": [elements], "data_offsets": [0, 2 * elements]},
        }
    ).encode()
    return struct.pack("<Q", len(header)) + header + random.Random(name).randbytes(2 * elements)
