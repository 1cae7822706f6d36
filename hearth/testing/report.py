"""Report on a plugin: every law, and whether it holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hearth.testing.law import Law, LawBroken
from hearth.testing.laws import LAWS, check_law
from hearth.testing.search import Search
from hearth.testing.subject import Subject


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one law says of a plugin; `seconds` is how long it took."""

    law: Law
    broken: LawBroken | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """What all laws say."""

    vendor: str
    distribution: str
    version: str
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every law holds."""
        return not any(verdict.broken for verdict in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; `laws` are in the order of their numbers."""
        return {
            "vendor": self.vendor,
            "distribution": self.distribution,
            "version": self.version,
            "passed": self.passed,
            "laws": [_law(verdict) for verdict in self.verdicts],
        }

    def to_text(self) -> str:
        """One line for each law, then what is broken, with input and remedy."""
        broken = [verdict.broken for verdict in self.verdicts if verdict.broken]
        lines = [f"{self.vendor}: {self.distribution} {self.version}"]
        lines += [
            f"  {'broken' if verdict.broken else 'ok':6}  {verdict.law.number:2}  {verdict.law.name:18}  {verdict.law.title}"
            for verdict in self.verdicts
        ]
        kept = len(self.verdicts) - len(broken)
        lines += ["", *(f"{fault}\n" for fault in broken), f"{kept} of {len(self.verdicts)} laws hold"]
        return "\n".join(lines)


def judge(subject: Subject, search: Search) -> Iterator[Verdict]:
    """Check every law, in the order of their numbers."""
    for law in LAWS:
        started = time.monotonic()
        try:
            check_law(law, subject, search)
        except LawBroken as broken:
            yield Verdict(law, broken, time.monotonic() - started)
        else:
            yield Verdict(law, None, time.monotonic() - started)


def check_vendor(subject: Subject, search: Search) -> Report:
    """Check every law and report."""
    loaded = subject.loaded
    return Report(subject.vendor, loaded.distribution, loaded.version, tuple(judge(subject, search)))


def _law(verdict: Verdict) -> dict[str, Any]:
    law, broken = verdict.law, verdict.broken
    told: dict[str, Any] = {"number": law.number, "name": law.name, "title": law.title, "passed": broken is None}
    if broken:
        told |= {"hook": broken.hook, "problem": broken.problem, "input": broken.given, "remedy": broken.remedy}
    return told | {"seconds": round(verdict.seconds, 3)}
