"""What each image is made of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hearth.planning import LOCAL_REGISTRY, default_gateway_image
from tools.distributions import ROOT, Distribution, plugins
from tools.images import wheels
from tools.images.recipe import DISTRIBUTIONS, RECIPES, Recipe

SHIPPED = [each for each in RECIPES.values() if each.shipped]


def names(each: Recipe) -> set[str]:
    return {re.match(r"[\w.-]+", line)[0].lower() for line in each.requirements()}  # type: ignore[index]


def test_the_images_have_the_names_that_charts_and_runtimes_use() -> None:
    packaged = (ROOT / "plugins/hearth-fake/src/hearth_fake/runtimes/vllm-fake.yaml").read_text()
    assert f'image: "{{{{ .Image.Registry }}}}/{RECIPES["stub"].name_and_tag}"\n' in packaged
    assert RECIPES["gateway"].reference == default_gateway_image(LOCAL_REGISTRY) == "localhost/hearth-gateway:0.1.0"
    assert RECIPES["operator"].reference == "localhost/hearth-operator:0.1.0"


def test_the_gateway_carries_no_control_plane() -> None:
    assert not names(RECIPES["gateway"]) & {"kopf", "kubernetes", "pydantic", "pip"}
    assert set(RECIPES["gateway"].distributions) == {"hearth-gateway"}
    assert {"aiohttp", "grpcio", "protobuf"} <= names(RECIPES["gateway"])


def test_the_operator_carries_every_vendor_and_what_adds_one_more() -> None:
    assert plugins().keys() <= set(RECIPES["operator"].distributions)
    assert {"kopf", "pip"} <= names(RECIPES["operator"])


def test_first_party_requirements_are_all_in_the_image() -> None:
    for each in RECIPES.values():
        for name in each.distributions:
            own = {re.match(r"[\w.-]+", line)[0] for line in DISTRIBUTIONS[name].project.get("dependencies", ())}  # type: ignore[index]
            assert own & DISTRIBUTIONS.keys() <= each.distributions.keys()


@pytest.mark.parametrize("each", RECIPES.values(), ids=lambda each: each.name)
def test_containerfiles_keep_the_rules(each: Recipe) -> None:
    text = (each.source / "Containerfile").read_text()
    instructions = [line.split()[0] for line in text.splitlines() if re.match(r"[A-Z]+ ", line)]
    assert instructions[:2] == ["ARG", "FROM"]
    assert "ARG BASE=docker.io/library/python:3.11-slim\nFROM ${BASE}\n" in text
    assert text.rstrip().endswith("USER 65532:65532")
    assert not re.search(r"\b(apt|apt-get|gcc|curl|wget)\b", text)
    assert f"source=dependencies/{each.name}," in text
    assert f"source=packages/{each.name}," in text


def test_the_first_layer_is_the_same_everywhere() -> None:
    """Or it would be built, kept and loaded once for each image."""
    layers = {
        (each.source / "Containerfile").read_text().split("FROM ${BASE}\n")[1].split("\nENV")[0] for each in SHIPPED
    }
    starts = {layer[layer.index("RUN ") :] for layer in layers}
    assert len(starts) == 1


def test_a_wheel_is_built_again_when_its_sources_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(DISTRIBUTIONS, "hearth-vllm-stub", Distribution(tmp_path / "stub"))
    built: list[str] = []

    def build(argv: list[str | Path], **_: object) -> str:
        Path(argv[-1]).joinpath(f"{len(built)}.whl").write_text("")
        built.append(str(argv[1]))
        return ""

    monkeypatch.setattr(wheels, "run", build)
    monkeypatch.setattr(wheels, "tool", lambda name: name)
    stub = tmp_path / "stub"
    (stub / "src/vllm_stub/data").mkdir(parents=True)
    (stub / "pyproject.toml").write_text((ROOT / "stub/pyproject.toml").read_text())
    (stub / "src/vllm_stub/__init__.py").write_text("")
    first = wheels.first_party("hearth-vllm-stub")
    (stub / "src/vllm_stub/__init__.pyc").write_text("compiled")
    assert wheels.first_party("hearth-vllm-stub") == first
    (stub / "src/vllm_stub/data/new.json").write_text("{}")
    second = wheels.first_party("hearth-vllm-stub")
    assert second != first
    (stub / "src/vllm_stub/data/new.json").rename(stub / "src/vllm_stub/data/other.json")
    assert wheels.first_party("hearth-vllm-stub") not in (first, second)
    assert len(built) == 3


def test_what_is_not_pinned_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(wheels, "tool", lambda name: name)

    def resolve(argv: list[str | Path], *, cwd: Path) -> str:
        assert "compile" in argv
        (cwd / "requirements.txt").write_text("aiohttp==3.14.5\nnobody-knows==1.0\npyyaml==6.0.3\n")
        return ""

    monkeypatch.setattr(wheels, "run", resolve)
    with pytest.raises(
        wheels.ImagesError, match=r"hearth-vllm-stub would carry.*constraints\.txt: nobody-knows==1\.0$"
    ):
        wheels.dependencies(RECIPES["stub"])
