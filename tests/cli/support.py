"""Running the command as a user does: its exit code and what it prints. An exception that escapes fails the test."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from hearth.cli import main
from hearth.plugins.loader import Candidate, installed_candidates

SERVICE = """\
apiVersion: serving.hearth.dev/v1alpha1
kind: LLMService
metadata: {{name: {name}}}
spec:
  model: {{source: {{uri: "{uri}"}}}}
  runtime: {runtime}
"""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def hearth(*args: str | Path, stdin: str = "", **environ: str) -> Done:
    """Run `hearth` as if no other plugins were installed than those of HEARTH_PLUGINS, the fake vendor by default."""
    out, err = io.StringIO(), io.StringIO()
    pinned = {"HEARTH_PLUGINS": "fake", "COLUMNS": "100", **environ}
    wanted = pinned["HEARTH_PLUGINS"].split(",")

    def installed() -> tuple[Candidate, ...]:
        return tuple(candidate for candidate in installed_candidates() if candidate.name in wanted)

    code = 0
    with (
        mock.patch("hearth.plugins.host.installed_candidates", installed),
        mock.patch.object(sys, "argv", ["hearth", *map(str, args)]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
        mock.patch.dict(os.environ, pinned),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def service(name: str = "tiny", *, uri: str = "hf://acme/tiny", runtime: str = "{}") -> str:
    return SERVICE.format(name=name, uri=uri, runtime=runtime)
