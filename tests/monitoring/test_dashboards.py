"""Rules and dashboard ask for what service and monitoring really export: every name, every label, every value of it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from monitoring.publishing import write_failure
from monitoring.times import seconds_of
from tests.monitoring.conftest import House, normal
from tests.support.engines import asgi_client, running_engine

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yaml"
DASHBOARD = DEPLOY / "grafana" / "champion.json"

_NOT_NAMES = {
    "sum", "max", "count", "by", "le", "rate", "increase", "changes", "absent", "time", "offset", "histogram_quantile",
    "label_values", "vector", "or", "unless", "on", "group_left", "and",
}  # fmt: skip
_OF_PROMETHEUS = {"up": {"job", "instance"}}
"""Series that Prometheus makes by itself, and the labels that it adds to those of every target."""
_TARGET_LABELS = _OF_PROMETHEUS["up"]
_ON_OCCASION = {
    "champion_cascade_audited_total": {"version", "agreed"},
    "champion_cascade_texts_total": {"version", "stage"},
    "champion_follow_problem": {"reason"},
    "champion_keys_problem": set[str](),
}
"""Series that the service exports only once there is a cascade, a problem with the registry, or an API_KEYS_FILE."""
_STRING = r'"[^"]*"'
_MATCHERS = re.compile(r"(\w+)\{([^}]*)\}")
_GROUPS = re.compile(r"\b(?:by|on) \(([^)]*)\)")

Exported = dict[str, set[str]]
"""Name of a time series → the labels that it has."""


def exported(text: str) -> Exported:
    found: Exported = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture
def series(house: House, tmp_path: Path) -> Exported:
    """What a service that answered and a check that judged have left."""
    texts, labels = normal(60)
    house.answer(texts, labels=labels)
    textfile = house.check().folder / "monitoring.prom"
    checked = textfile.read_text(encoding="utf-8")
    write_failure(textfile, "news", 1.0)
    failed = textfile.read_text(encoding="utf-8")

    async def served() -> str:
        with running_engine(Path(house.classifier.folder), tmp_path / "service") as (engine, _):
            async with asgi_client(engine) as client:
                assert (await client.post("/classify", json={"text": texts[:3]})).status_code == 200
                return (await client.get("/metrics")).text

    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    recorded = {
        rule["record"]: set[str]() for group in rules["groups"] for rule in group["rules"] if "record" in rule
    }
    found = _ON_OCCASION | exported(checked) | exported(asyncio.run(served())) | _OF_PROMETHEUS | recorded
    for name, labels in exported(failed).items():
        found.setdefault(name, labels)
    return {name: labels | _TARGET_LABELS for name, labels in found.items()}


def queries() -> dict[str, str]:
    """Where a query stands → the query."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    found = {
        rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule
    }
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            found[f"{panel['title']}, {target['refId']}"] = target["expr"]
    found |= {
        item["name"]: item["definition"] for item in board["templating"]["list"] if "definition" in item
    }
    return found | {item["name"]: item["expr"] for item in board["annotations"]["list"]}


def names(query: str) -> set[str]:
    """Every name of a time series in a query."""
    bare = re.sub(r"\[[^\]]*\]", "", re.sub(_STRING, "", query))
    bare = _GROUPS.sub("", re.sub(r"\{[^}]*\}", "", bare))
    bare = re.sub(r"label_values\((\w+), \w+\)", r"\1", bare)
    return set(re.findall(r"[a-zA-Z_]\w*", re.sub(r"\b\d\w*", "", bare))) - _NOT_NAMES


def test_every_query_asks_for_what_is_exported(series: Exported) -> None:
    assert len(queries()) > 30
    for place, query in queries().items():
        asked = names(query)
        assert asked, place
        assert asked <= set(series), f"{place} asks for {asked - set(series)}"
        for name, matchers in _MATCHERS.findall(query):
            labels = set(re.findall(r'(\w+)\s*[!=]~?=?\s*"', matchers))
            assert labels <= series[name], f"{place}: {name} has no label {labels - series[name]}"
        for group in _GROUPS.findall(query):
            labels = set(re.split(r",\s*", group)) - {""}
            assert any(labels <= series[name] for name in asked), f"{place}: no label {group}"


def test_rules_watch_latency_drift_accuracy_and_silence() -> None:
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    by_name = {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    for alert, metric in (
        ("ChampionSlow", "bentoml_service_request_duration_seconds_bucket"),
        ("ChampionSlowerThanYesterday", "bentoml_service_request_duration_seconds_sum"),
        ("ChampionTrafficDrifted", "champion_monitoring_signal_alarm"),
        ("ChampionAccuracyFell", "champion_monitoring_accuracy_status"),
        ("ChampionMonitoringSilent", "champion_monitoring_checked_timestamp_seconds"),
        ("ChampionMonitoringSilent", "champion_monitoring_expected_interval_seconds"),
        ("ChampionFollowProblem", "champion_follow_problem"),
        ("ChampionKeysProblem", "champion_keys_problem"),
        ("ChampionDown", "up"),
        ("ChampionTooFewReplicas", "champion_expected_replicas"),
        ("ChampionVersionsDiffer", "champion_model_info"),
        ("ChampionNotWatched", "champion_model_info"),
    ):
        assert metric in names(by_name[alert]["expr"])
    assert all(rule["labels"]["severity"] in ("page", "ticket") for rule in by_name.values())
    assert all(rule["annotations"]["summary"] for rule in by_name.values())


def test_promtool_accepts_the_rules_and_their_own_tests() -> None:
    """By promtool where it is installed; what can be told by parsing is held everywhere."""
    tests: dict[str, Any] = yaml.safe_load((RULES.parent / "rules.test.yaml").read_text(encoding="utf-8"))
    assert tests["rule_files"] == [RULES.name]
    asked = {case["alertname"] for test in tests["tests"] for case in test["alert_rule_test"]}
    assert asked <= queries().keys()
    assert len(asked) >= 13
    for case in (case for test in tests["tests"] for case in test["alert_rule_test"]):
        for alert in case["exp_alerts"]:
            assert alert["exp_labels"]["severity"] in ("page", "ticket")
            assert alert["exp_annotations"]["summary"]
    for query in queries().values():
        bare = re.sub(_STRING, "", query)
        assert [bare.count(bracket) for bracket in "({["] == [bare.count(bracket) for bracket in ")}]"]
    if promtool := shutil.which("promtool"):
        for command in (
            ["check", "config", "--syntax-only", "prometheus.yaml"],
            ["check", "rules", RULES.name],
            ["test", "rules", "rules.test.yaml"],
        ):
            run = subprocess.run(
                [promtool, *command], cwd=RULES.parent, capture_output=True, text=True, check=False
            )
            assert run.returncode == 0, run.stdout + run.stderr


def test_silence_is_judged_by_the_deployed_interval() -> None:
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    (interval,) = [
        rule["expr"]
        for group in rules["groups"]
        for rule in group["rules"]
        if rule.get("record") == "champion_monitoring_expected_interval_seconds"
    ]
    seconds = int(interval.removeprefix("vector(").removesuffix(")"))
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    (every,) = [part for part in compose["services"]["monitoring"]["command"] if "MONITORING_EVERY" in part]
    assert seconds_of(every.removeprefix("${MONITORING_EVERY:-").removesuffix("}")) == seconds
    jobs = yaml.safe_load_all((DEPLOY / "cronjob.yaml").read_text(encoding="utf-8"))
    (check,) = [
        job for job in jobs if job["kind"] == "CronJob" and job["metadata"]["name"] == "champion-monitoring"
    ]
    assert check["spec"]["schedule"] == f"*/{seconds // 60} * * * *"


def test_rules_and_scrapes_name_the_same_jobs() -> None:
    scraped = yaml.safe_load((RULES.parent / "prometheus.yaml").read_text(encoding="utf-8"))
    jobs = {each["job_name"]: each for each in scraped["scrape_configs"]}
    asked = {job for query in queries().values() for job in re.findall(r'job="([^"]+)"', query)}
    assert asked == jobs.keys()
    assert scraped["rule_files"] == [RULES.name]
    (replicas,) = jobs["champion"]["dns_sd_configs"]
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    assert replicas["names"] == ["service"]
    assert compose["services"]["service"]["expose"] == [str(replicas["port"])]


def test_panels_do_not_overlap_and_name_their_source() -> None:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
