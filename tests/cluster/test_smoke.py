"""A smoke test, with the manifest of examples/: from zero to one to many replicas and back. Prints when what happened."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import yaml

from tests.cluster.clients import PROMPT
from tests.cluster.conftest import failing
from tests.cluster.kube import Kube
from tests.cluster.load import Load
from tests.cluster.namespace import Model, Namespace
from tests.cluster.node import ROOT
from tests.cluster.timeline import Timeline

MANIFEST = ROOT / "examples/qwen3-8b-fake.yaml"
CLIENTS = 30

pytestmark = pytest.mark.runs(how="first")


@pytest.fixture
async def ai(request: pytest.FixtureRequest, kube: Kube, timeline: Timeline) -> AsyncIterator[Namespace]:
    """Open the namespace that the manifest names. The packaged runtime's pods are not `restricted`, as vLLM's own are not."""
    async with Namespace.open(kube, "ai", timeline, "baseline") as namespace, failing(request, namespace):
        yield namespace


async def test_a_model_from_zero_to_many_replicas_and_back(ai: Namespace) -> None:
    timeline = ai.timeline
    service = yaml.safe_load(MANIFEST.read_text())
    model = Model(ai, service["metadata"]["name"])
    await ai.kube.apply(service)
    timeline.say(f"applied {MANIFEST.relative_to(ROOT)}")
    await model.ready()
    timeline.say(f"Ready; it sleeps behind http://{model.host}/v1")
    async with model.replicas() as replicas:
        replicas.listeners.append(lambda before, now: timeline.say(f"replicas: wanted {now[0]}, ready {now[1]}"))
        timeline.say("a client of OpenAI's library asks for a stream")
        async with model.client().chat.completions.with_streaming_response.create(
            model=model.name, messages=PROMPT, stream=True  # type: ignore[arg-type]
        ) as response:  # fmt: skip
            timeline.say(
                f"held: status {response.status_code}, X-Hearth-Cold-Start: {response.headers.get('x-hearth-cold-start')}"
            )
            comments, tokens, done = 0, 0, False
            async for line in response.iter_lines():
                if line.startswith(":"):
                    comments += 1
                    timeline.say(f"  {line}")
                elif line == "data: [DONE]":
                    done = True
                elif line.startswith("data: ") and not tokens:
                    tokens += 1
                    timeline.say("answered: the first token")
        assert (done, bool(comments), tokens) == (True, True, 1)
        timeline.say(f"{CLIENTS} clients at once, ten for a replica")
        async with Load(model, CLIENTS, query={"tokens": 20}) as load:
            await replicas.until(lambda seen: seen == (3, 3), 90, "three replicas")
            load.stop()
            answers = await load.finished()
        assert all(answer.ok(20) for answer in answers), [each for each in answers if not each.ok(20)]
        timeline.say(f"{len(answers)} requests answered, none failed; no further request is sent")
        await replicas.until(lambda seen: seen[0] == 0, 90, "no replicas")
        await model.asleep()
        timeline.say("asleep: no pod, no accelerator")
    assert replicas.steps()[0] == 0
    assert max(replicas.steps()) == 3
    served = await ai.request_log.settle()
    assert served == {answer.tag: 1 for answer in answers}
