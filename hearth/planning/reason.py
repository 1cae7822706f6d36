"""The reasons of a plan: what was decided, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """What was decided of a subject, and why. `rejected` marks a choice that was not taken."""

    subject: str
    text: str
    rejected: bool = False

    @property
    def words(self) -> str:
        """Both in one sentence."""
        return f"{self.subject}: {self.text}"

    def __str__(self) -> str:
        return f"not {self.words}" if self.rejected else self.words
