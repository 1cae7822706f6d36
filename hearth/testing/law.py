"""What a law is, and how a breach of one is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hearth.testing.search import Search
    from hearth.testing.subject import Subject


class LawBroken(AssertionError):
    """A plugin breaks a law: which hook, on which input, and what to do about it.

    `hook` is empty when no single hook is to blame. `law` is filled in by the law that was checked.
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


@dataclass(frozen=True, slots=True)
class Law:
    """One of the sixteen laws of the plugin contract. `title` is the law as a sentence."""

    number: int
    name: str
    title: str
    body: Callable[[Subject, Search], None]

    def check(self, subject: Subject, search: Search) -> None:
        """Raise LawBroken, with the smallest input that was found, when the plugin breaks the law."""
        __tracebackhide__ = True
        try:
            self.body(subject, search)
        except LawBroken as broken:
            broken.law, broken.vendor = self, subject.vendor
            raise broken from None
