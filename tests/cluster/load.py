"""Load: clients that send one request after the other."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.cluster.clients import Answer, ask
from tests.cluster.namespace import Model
from tests.support.waiting import until


class Load:
    """`clients` of a model, each with a connection of its own; half of the requests are streams."""

    def __init__(self, model: Model, clients: int, query: dict[str, Any] | None = None, name: str = "load") -> None:
        self._model = model
        self._count = clients
        self._query = query or {}
        self._name = name
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._progress = asyncio.Condition()
        self.answers: list[Answer] = []

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._run(number)) for number in range(self._count)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop(self) -> None:
        """No further request; those under way go on."""
        self._over.set()

    async def finished(self) -> list[Answer]:
        """Every answer, once the last client has its own."""
        await asyncio.gather(*self._tasks)
        return self.answers

    async def answered(self, count: int, seconds: float = 120) -> None:
        """Wait for `count` further answers."""
        goal = len(self.answers) + count
        await until(lambda: len(self.answers) >= goal, f"{count} answers", seconds, changed=self._progress)

    async def _run(self, number: int) -> None:
        client = self._model.client()
        turn = 0
        while not self._over.is_set():
            tag = f"{self._name}-{number}-{turn}"
            stream = (number + turn) % 2 == 0
            answer = await ask(client, self._model.name, tag, stream=stream, query=self._query)
            async with self._progress:
                self.answers.append(answer)
                self._progress.notify_all()
            turn += 1
