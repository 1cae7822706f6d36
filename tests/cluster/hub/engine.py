"""The stub with what it leaves out of vLLM's start: the model's files come from the hub, or from the cache.

`python engine.py serve MODEL [vLLM flags ...]`, as vLLM is started. It loads the weights to see that they are whole.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from huggingface_hub import snapshot_download
from weights import COPY, check


def main() -> None:
    """Become the stub, when the model is there; what the hub's client raises ends the engine, as it ends vLLM."""
    words = sys.argv[1:]
    model = next(word for word in words[1:] if not word.startswith("-"))
    revision = next((word.partition("=")[2] for word in words if word.startswith("--revision=")), None)
    path = model if Path(model).is_dir() else snapshot_download(model, revision=revision, ignore_patterns=[COPY])
    size = check(Path(path) / "model.safetensors")
    sys.stderr.write(f"loaded {size} bytes of weights from {path}\n")
    sys.stderr.flush()
    os.execvp("vllm-stub", ["vllm-stub", *words])


if __name__ == "__main__":
    main()
