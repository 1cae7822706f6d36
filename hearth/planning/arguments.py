"""Reading the arguments of an engine as its own parser would."""

from __future__ import annotations

from collections.abc import Sequence


def flag_values(args: Sequence[str], flag: str) -> list[str]:
    """Return the words given to the last use of a flag; vLLM takes the last."""
    values: list[str] = []
    for number, arg in enumerate(args):
        if arg.startswith(f"{flag}="):
            values = arg.partition("=")[2].split()
        elif arg == flag:
            values = []
            for word in args[number + 1 :]:
                if word.startswith("-"):
                    break
                values.append(word)
    return values
