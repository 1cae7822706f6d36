"""Queries of dashboard and alerts: the programs expose what they select."""

from __future__ import annotations

import re
from functools import cache

import pytest

from hearth.operator.diagnosis.reasons import Reason
from tests.chart import expositions
from tests.chart.support import alerts, dashboard, grouped_labels, panels, queries, selectors

SEVERITIES = {"critical", "warning"}


@cache
def said() -> dict[str, set[str]]:
    """Every series there is, with its labels and those that scraping adds."""
    own = expositions.labels_by_series(expositions.gateway_text(), expositions.operator_text())
    engines = expositions.labels_by_series(expositions.engine_text())
    return {
        **{name: labels | expositions.TARGET_LABELS for name, labels in own.items()},
        **{name: labels | expositions.TARGET_LABELS | expositions.ENGINE_LABELS for name, labels in engines.items()},
    }


@pytest.mark.parametrize(("where", "expression"), list(queries()))
def test_every_query_parses_and_names_series_and_labels_that_exist(where: str, expression: str) -> None:
    found = selectors(expression)
    assert found, where
    known: set[str] = set()
    for selector in found:
        assert selector.name in said(), f"{where}: no program exposes {selector.name}"
        labels = said()[selector.name]
        known |= labels
        for matcher in selector.matchers.matchers:
            assert matcher.name in labels, f"{where}: {selector.name} has no label {matcher.name}"
    assert grouped_labels(expression) <= known, where


@pytest.mark.parametrize("name", list(alerts()))
def test_alerts_are_worth_reading(name: str) -> None:
    rule = alerts()[name]
    assert name.startswith("Hearth")
    assert rule["labels"]["severity"] in SEVERITIES
    texts = rule["annotations"]
    assert set(texts) == {"summary", "description", "runbook_url"}
    assert texts["runbook_url"].endswith(f"/docs/operations.md#{name.lower()}")
    shown = set(re.findall(r"\$labels\.(\w+)", f"{texts['summary']} {texts['description']}"))
    assert shown <= grouped_labels(rule["expr"]), f"{name} shows labels that its expression drops"
    for text in texts.values():
        assert text.count("{{") == text.count("}}")


def test_alerts_ask_for_reasons_that_conditions_have() -> None:
    asked = {
        matcher.value
        for rule in alerts().values()
        for selector in selectors(rule["expr"])
        if selector.name == "hearth_operator_condition"
        for matcher in selector.matchers.matchers
        if matcher.name == "reason"
    }
    assert asked
    assert asked <= {reason.value for reason in Reason}


def test_a_counter_that_alerts_watch_begins_at_zero() -> None:
    """increase() over a series that begins at 1 misses the first one, which may be the only one."""
    text = expositions.gateway_text() + expositions.operator_text()
    for name, rule in alerts().items():
        for selector in selectors(rule["expr"]):
            for matcher in selector.matchers.matchers:
                if selector.name.endswith("_total") and str(matcher.op) == "MatchOp.Equal":
                    series = rf'^{selector.name}{{[^}}]*{matcher.name}="{matcher.value}"[^}}]*}} 0(\.0)?$'
                    assert re.search(series, text, re.MULTILINE), f"{name}: {selector.name} {matcher.value}"


def test_the_panels_are_laid_out_and_told_apart() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels().values())
    assert dashboard()["uid"] == "hearth"


def test_the_dashboards_variables_are_asked_of_series_that_exist() -> None:
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            name, label = re.findall(r"label_values\((\w+)(?:{[^}]*})?, (\w+)\)", variable["query"]["query"])[0]
            assert label in said()[name]
