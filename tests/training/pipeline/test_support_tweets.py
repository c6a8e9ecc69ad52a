"""Customer-support tweets, from a file of their layout to a model that scores files and is watched."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitoring.cli import main as monitoring
from service.batch import main as batch
from stores.predictions import PredictionStore
from stores.registry import ModelRegistry
from stores.settings import PredictionSettings, TrackingSettings
from tests import golden_messages as messages
from tests.support.bundles import bbc_part
from tests.support.predictions import prediction
from tests.training.conftest import environment
from training.commands.cli import main as training

pytestmark = pytest.mark.slow
COLUMNS = [
    "tweet_id",
    "author_id",
    "inbound",
    "created_at",
    "text",
    "response_tweet_id",
    "in_response_to_tweet_id",
]


def write_tweets(path: Path, start: int, count: int) -> list[str]:
    """A file of the data set's layout, with its mentions, addresses, line breaks and repeated answers."""
    said = bbc_part(start, 5)[0][:count]
    texts = []
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number, article in enumerate(said):
            words = " ".join(article.split()[20:35])
            by_customer = number % 2 == 0
            text = (
                f"@Sprint why is my {words}?!\nhttps://t.co/{number:x} \N{POUTING FACE}"
                if by_customer != (number % 11 == 0)  # some write like the other side
                else f"@{115_000 + number} We are sorry, please DM us: {words} -KC"
            )
            texts.append(text)
            writer.writerow([number, "x", by_customer, "Tue Oct 31 22:10:47 +0000 2017", text, "", ""])
        for number in range(20):  # the same answer, but for whom it is for
            text = f"@{116_000 + number} Please send us a direct message so that we can look into this for you. -AA"
            writer.writerow([count + number, "sprintcare", False, "", text, "", ""])
    return texts


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose `.env` holds the settings, after a run with a floor that no candidate reaches."""
    folder = tmp_path_factory.mktemp("desk")
    write_tweets(folder / "tweets.csv", 0, 240)
    dotenv = f"VAR_DIR={folder / 'var'}\nMODEL_NAME=support_tweets\nMONITORING_PERMUTATIONS=999\n"
    (folder / ".env").write_text(dotenv, encoding="utf-8")
    before = Path.cwd()
    with environment(folder):
        del os.environ["VAR_DIR"]  # `.env` has it
        os.chdir(folder)
        try:
            ran = CliRunner().invoke(
                training,
                ["run", "support_tweets", "--set", "data.source=tweets.csv", "--set", "gate.min_macro_f1=1.0",
                 "--set", "data.near_duplicate_similarity=0.7"],
                catch_exceptions=False,
            )  # fmt: skip
            assert ran.exit_code == 0, ran.output
            (folder / "printed.txt").write_text(ran.stdout, encoding="utf-8")
            yield folder
        finally:
            os.chdir(before)


def test_below_the_floor_there_is_no_champion(desk: Path) -> None:
    registry = ModelRegistry(TrackingSettings())
    version = registry.latest()
    assert registry.aliases() == {"challenger": version.version}
    assert version.name == "support_tweets"
    assert version.tags["gate_min_macro_f1"].startswith("failed")
    assert messages.GATE_BELOW_FLOOR in version.tags["gate_reasons"]
    assert float(version.tags["test_macro_f1"]) > 0.7


def test_the_log_has_times_levels_and_what_happened(desk: Path) -> None:
    lines = [json.loads(line) for line in (desk / "var" / "logs" / "training.log").read_text().splitlines()]
    assert [line["event"] for line in lines] == [
        "run_started", "file_read", "data_divided", "candidate_started", "candidate_judged", "registered",
    ]  # fmt: skip
    assert {line["level"] for line in lines} == {"INFO"}
    assert all(datetime.fromisoformat(line["at"]).tzinfo is not None for line in lines)
    divided = lines[2]
    texts = divided["texts"]
    assert texts["test"] > texts["validation"] > 0
    assert divided["rows"] == 260
    assert lines[-1]["alias"] == "challenger"


def test_a_failure_is_logged_as_an_error(desk: Path) -> None:
    log = desk / "var" / "logs" / "training.log"
    before = len(log.read_text().splitlines())
    failed = CliRunner().invoke(training, ["run", "support_tweets"])
    assert failed.exit_code == 2
    assert messages.DATA_CSV_MISSING in failed.stderr
    *_, last = (json.loads(line) for line in log.read_text().splitlines()[before:])
    assert (last["level"], last["event"], last["error"]) == ("ERROR", "failed", "SourceNotFound")
    assert "SourceNotFound" in last["traceback"]


def test_the_version_registered_last_scores_a_file(desk: Path) -> None:
    texts = write_tweets(desk / "new.csv", 1, 40)
    uri = "models:/support_tweets/latest"
    scored = CliRunner().invoke(batch, ["new.csv", "scored.csv", "--model-uri", uri], catch_exceptions=False)
    assert scored.exit_code == 0, scored.output
    with (desk / "scored.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows[:40]] == texts
    given = [(row["label"], row["inbound"]) for row in rows]
    right = sum(label == ("customer" if inbound == "True" else "company") for label, inbound in given)
    assert right / len(rows) > 0.7


def test_accuracy_below_the_limit_raises_an_alert(desk: Path) -> None:
    promoted = CliRunner().invoke(training, ["promote", "1", "--force"], catch_exceptions=False)
    assert promoted.exit_code == 0
    store = PredictionStore.open(PredictionSettings().url)
    changes = {
        "model_name": "support_tweets",
        "label": "customer",
        "scores": {"customer": 0.9, "company": 0.1},
    }
    rows = [prediction(text, **changes) for text in write_tweets(desk / "more.csv", 2, 60)]
    store.add(rows)
    store.add_feedback({row.id: "company" for row in rows})
    store.close()
    checked = CliRunner().invoke(monitoring, ["check", "--on-breach", "alert"])
    assert checked.exit_code == 1, checked.output
    alert = json.loads((desk / "var" / "monitoring" / "alerts.jsonl").read_text().splitlines()[-1])
    assert any("accuracy" in reason.lower() for reason in alert["reasons"])
