"""The registry on a real MLflow (SQLite): versions, aliases, tags, the cache, and what is said when it is away."""

import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from classifier import Classifier
from stores.errors import ModelNotRegistered, RegistryUnavailable
from stores.promotion import label_tags, labels_digest
from stores.registry import CHALLENGER, CHAMPION, PREVIOUS, ModelRegistry, tags_of
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.support.bundles import TOPICS, registered, sealed_tfidf_bundle
from tests.support.servers import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return sealed_tfidf_bundle(tmp_path_factory.mktemp("tfidf") / "bundle")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, sealed: Classifier) -> Path:
    """A `var` whose registry has three versions, the first of them champion: copied by the tests that need one."""
    var = tmp_path_factory.mktemp("registry") / "var"
    registry = ModelRegistry(TrackingSettings(var_dir=var))
    for number in range(3):
        registered(registry, sealed.folder, promote=number == 0)
    return var


@pytest.fixture
def registry(full: Path) -> Iterator[ModelRegistry]:
    """The registry with three versions, its aliases as they were, its cache empty."""
    found = ModelRegistry(TrackingSettings(var_dir=full))
    yield found
    shutil.rmtree(full / "models", ignore_errors=True)
    for alias in found.aliases():
        found.client.delete_registered_model_alias("news", alias)
    found.promote("1")


def test_a_registered_version_knows_its_origin(registry: ModelRegistry) -> None:
    version = registry.by_version("2")
    assert (version.name, version.version, version.alias) == ("news", "2", None)
    assert version.tags == {"test_macro_f1": "0.9500", **label_tags(TOPICS)}
    assert version.model_id.startswith("m-")
    assert len(version.run_id) == 32
    assert version.created_at > 1.6e9
    assert [found.version for found in registry.versions()] == ["3", "2", "1"]
    assert len({found.model_id for found in registry.versions()}) == 3


def test_tags_are_added(registry: ModelRegistry) -> None:
    registry.tag("3", tags_of({"gate": "passed", "f1": 0.91234567, "texts": 300}))
    assert registry.by_version("3").tags == {
        "test_macro_f1": "0.9500",
        **label_tags(TOPICS),
        "gate": "passed",
        "f1": "0.9123",
        "texts": "300",
    }


def test_the_registry_keeps_which_labels_its_champion_may_have(registry: ModelRegistry) -> None:
    assert registry.accepted_labels() == labels_digest(TOPICS)
    other = label_tags(["a", "b"])
    version = registry.register(registry.by_version("1").model_uri, tags=other)
    registry.promote(version.version)
    assert registry.accepted_labels() == labels_digest(TOPICS), "promoted, and not accepted"
    registry.rollback()
    registry.promote(version.version, accept_labels=True)
    assert registry.accepted_labels() == labels_digest(["b", "a"])
    registry.rollback()
    assert registry.accepted_labels() == labels_digest(TOPICS)
    registry.client.delete_model_version("news", version.version)


def test_labels_without_a_tag_are_read_from_the_bundle(registry: ModelRegistry) -> None:
    version = registry.register(registry.by_version("1").model_uri, tags={"labels": "5 labels"})
    assert registry.labels_of(version) == TOPICS
    assert registry.digest_of(version) == labels_digest(TOPICS)
    assert not registry.change(version.version).labels_differ
    registry.client.delete_model_version("news", version.version)


def test_promotion_and_two_rollbacks(registry: ModelRegistry) -> None:
    assert registry.aliases() == {CHAMPION: "1"}
    registry.promote("2")
    assert registry.aliases() == {CHAMPION: "2", PREVIOUS: "1"}
    registry.promote("2")
    assert registry.aliases() == {CHAMPION: "2", PREVIOUS: "1"}, "promoting the champion changes nothing"
    assert registry.rollback().version == "1"
    assert registry.aliases() == {CHAMPION: "1", PREVIOUS: "2"}
    assert registry.rollback().version == "2"
    assert registry.aliases() == {CHAMPION: "2", PREVIOUS: "1"}


def test_a_promoted_challenger_challenges_no_more(registry: ModelRegistry) -> None:
    assert registry.challenge("2").version == "2"
    registry.promote("3")
    assert registry.aliases() == {CHAMPION: "3", PREVIOUS: "1", CHALLENGER: "2"}
    registry.promote("2")
    assert registry.aliases() == {CHAMPION: "2", PREVIOUS: "3"}


def test_two_registries_in_one_process_do_not_mix(
    registry: ModelRegistry, sealed: Classifier, tmp_path: Path
) -> None:
    other = ModelRegistry(TrackingSettings(var_dir=tmp_path))
    assert other.aliases() == {}
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert registry.fetch(registry.by_alias()).is_relative_to(registry.settings.var_dir)
    with other.run("tests", "other"):
        assert other.client.search_experiments(filter_string="name = 'tests'")
    registered(other, sealed.folder)
    assert len(registry.versions()) == 3
    assert other.fetch(other.by_alias()).is_relative_to(tmp_path)


def test_what_is_not_there(registry: ModelRegistry, tmp_path: Path) -> None:
    with pytest.raises(ModelNotRegistered, match=messages.VERSION_MISSING):
        registry.by_version("99")
    with pytest.raises(ModelNotRegistered, match=messages.VERSION_NOT_A_NUMBER):
        registry.promote("newest")
    assert registry.aliases() == {CHAMPION: "1"}
    with pytest.raises(ModelNotRegistered, match=messages.ALIAS_MISSING):
        registry.rollback()
    with pytest.raises(ModelNotRegistered, match=messages.CHALLENGER_MISSING):
        registry.by_alias(CHALLENGER)
    empty = ModelRegistry(TrackingSettings(var_dir=tmp_path))
    assert empty.aliases() == {}
    assert empty.versions() == []
    with pytest.raises(ModelNotRegistered):
        empty.by_alias()


def test_a_fetched_bundle_is_whole_and_fetched_once(registry: ModelRegistry, sealed: Classifier) -> None:
    champion = registry.by_alias()
    folder = registry.fetch(champion)
    assert Classifier.load(folder).manifest == sealed.manifest
    (folder / "mark").write_text("not downloaded again")
    assert registry.fetch(champion) == folder
    assert (folder / "mark").exists()
    assert registry.fetch(registry.by_version("2")) != folder
    assert not list(folder.parent.glob("download-*"))


def test_a_download_that_fails_leaves_nothing(registry: ModelRegistry, full: Path) -> None:
    champion = registry.by_alias()
    away = (full / "artifacts").rename(full / "away")
    try:
        with pytest.raises(RegistryUnavailable):
            registry.fetch(champion)
        cache = full / "models"
        assert [path for path in cache.rglob("*") if path.is_dir() and path.parent != cache] == []
        registry.cache.remember(champion)
        assert registry.cache.last_loaded() is None, "known, and not fetched: it cannot be served"
    finally:
        away.rename(full / "artifacts")
    assert registry.fetch(champion).is_dir()


def test_processes_that_fetch_at_once_share_one_download(registry: ModelRegistry, full: Path) -> None:
    code = (
        "import sys; from stores.registry import ModelRegistry; from stores.settings import TrackingSettings\n"
        "registry = ModelRegistry(TrackingSettings())\n"
        "print(registry.fetch(registry.by_alias()))"
    )
    processes = [python(code, VAR_DIR=str(full)) for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    (folder,) = {out.strip().splitlines()[-1] for out, _ in answers}
    assert Classifier.load(folder).labels
    assert len(list(Path(folder).parent.glob("v1-*"))) == 1


def test_a_restart_while_mlflow_is_away(registry: ModelRegistry, full: Path) -> None:
    champion = registry.by_alias()
    folder = registry.fetch(champion)
    assert registry.cache.last_loaded() is None, "fetched, and not loaded: it may be no bundle"
    registry.cache.remember(champion)
    database = (full / "mlflow.db").rename(full / "mlflow.away")
    try:
        again = ModelRegistry(TrackingSettings(var_dir=full))
        remembered = again.cache.last_loaded()
        assert remembered == champion
        assert again.fetch(remembered) == folder
        assert again.cache.last_loaded(CHALLENGER) is None
        assert again.cache.last_loaded(version="1") == champion
        assert again.cache.last_loaded(version="2") is None
    finally:
        database.rename(full / "mlflow.db")


@pytest.mark.parametrize("content", ["", "[]", '{"name": "news"}', '{"surprise": 1}'])
def test_a_broken_memory_is_no_memory(registry: ModelRegistry, content: str) -> None:
    registry.fetch(registry.by_alias())
    registry.cache.remember(registry.by_alias())
    (memory,) = (registry.settings.var_dir / "models").rglob("alias-champion.json")
    memory.write_text(content)
    assert registry.cache.last_loaded() is None
    registry.cache.remember(registry.by_alias())
    assert registry.cache.last_loaded() is not None


def test_another_registry_has_another_cache(registry: ModelRegistry, full: Path) -> None:
    registry.fetch(registry.by_alias())
    registry.cache.remember(registry.by_alias())
    other = ModelRegistry(TrackingSettings(var_dir=full, mlflow_tracking_uri="sqlite:///elsewhere.db"))
    assert other.cache.last_loaded() is None


def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    address = "http://me:hunter2@127.0.0.1:9"
    registry = ModelRegistry(TrackingSettings(var_dir=tmp_path, mlflow_tracking_uri=address))
    with pytest.raises(RegistryUnavailable, match=messages.MLFLOW_UNAVAILABLE) as failure:
        registry.by_alias()
    assert "hunter2" not in "".join(traceback.format_exception(failure.value))
    assert registry.cache.last_loaded() is None


def test_a_model_of_mlflow_answers_as_the_bundle_does(registry: ModelRegistry, sealed: Classifier) -> None:
    assert registry.aliases()
    model = mlflow.pyfunc.load_model("models:/news/1")
    texts = ["Shares fell in London.", "The striker scored twice in the cup final."]
    answer = model.predict(pd.DataFrame({"text": texts}))
    expected = sealed.predict(texts)
    assert list(answer.columns) == ["label", "score", *(f"p_{label}" for label in sealed.labels)]
    np.testing.assert_allclose(answer.iloc[:, 2:].to_numpy(), expected, atol=1e-6)
    assert list(answer["label"]) == [sealed.labels[index] for index in expected.argmax(axis=1)]
    assert model.predict(pd.DataFrame({"text": []}, dtype="str")).empty


MISSING = [None, float("nan"), pd.NA, pd.NaT, np.nan]


def test_a_missing_text_gets_a_missing_answer(registry: ModelRegistry, sealed: Classifier) -> None:
    assert registry.aliases()
    model = mlflow.pyfunc.load_model("models:/news/1")
    texts = ["Shares fell in London.", "The striker scored twice in the cup final."]
    expected = model.predict(pd.DataFrame({"text": texts}))
    for missing in MISSING:
        frame = pd.DataFrame({"text": pd.Series([missing, texts[0], missing, texts[1]], dtype=object)})
        answer = model.predict(frame)
        assert list(answer["label"]) == [None, expected["label"][0], None, expected["label"][1]]
        assert list(answer.drop(columns="label").isna().all(axis=1)) == [True, False, True, False]
        np.testing.assert_allclose(answer.iloc[[1, 3], 1:].to_numpy(float), expected.iloc[:, 1:].to_numpy())
    every = model.predict(pd.DataFrame({"text": pd.Series([None, None], dtype=object)}))
    assert list(every["label"]) == [None, None]
    assert every.drop(columns="label").isna().all(axis=None)
    with pytest.raises(MlflowException):
        model.predict(["A text.", None])  # MLflow takes no list for a column with a name
    assert model.predict(pd.DataFrame({"text": ["None", "nan"]}))["label"].notna().all(), "these are words"


@pytest.mark.parametrize("value", [7, 1.5, True, b"bytes", ["a"], {"a": 1}])
def test_what_is_no_text_is_refused(registry: ModelRegistry, value: object) -> None:
    assert registry.aliases()
    model = mlflow.pyfunc.load_model("models:/news/1")
    for values in ([value], ["a text", value]):
        with pytest.raises((MlflowException, TypeError)):
            model.predict(pd.DataFrame({"text": pd.Series(values, dtype=object)}))


@pytest.mark.slow
def test_mlflow_models_serve_answers_null_for_null(registry: ModelRegistry, full: Path) -> None:
    assert registry.aliases()
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/news/1", "--env-manager", "local",
         "--port", str(port)],
        env={**os.environ, "MLFLOW_TRACKING_URI": registry.settings.tracking_uri, "PYTHONPATH": str(ROOT),
             "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        give_up = time.monotonic() + 240
        while True:
            try:
                if httpx.get(f"{address}/ping").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert server.poll() is None, "it has ended"
            assert time.monotonic() < give_up
            time.sleep(0.2)
        rows = [{"text": None}, {"text": "The striker scored twice in the cup final."}]
        answered = httpx.post(f"{address}/invocations", json={"dataframe_records": rows}, timeout=60)
        assert answered.status_code == 200, answered.text
        none, some = answered.json()["predictions"]
        assert set(none.values()) == {None}
        assert some["label"] == "sports"
        refused = httpx.post(f"{address}/invocations", json={"dataframe_records": [{"text": 7}]}, timeout=60)
        assert refused.status_code == 400, refused.text
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def test_a_failure_inside_a_run_marks_it_failed(registry: ModelRegistry) -> None:
    with pytest.raises(ZeroDivisionError), registry.run("tests", "doomed") as run:
        _ = 1 / 0
    assert registry.client.get_run(run.info.run_id).info.status == "FAILED"
    assert mlflow.active_run() is None


def python(code: str, *, cwd: Path = ROOT, **environment: str) -> subprocess.Popen[str]:
    """A separate process that runs `code`."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


REGISTER = """
import sys
from pathlib import Path
from stores.registry import ModelRegistry
from stores.promotion import label_tags, labels_digest
from stores.settings import TrackingSettings

registry = ModelRegistry(TrackingSettings())
with registry.run("together", "candidate"):
    print(registry.register(registry.log_bundle(Path(sys.stdin.read()))).version)
"""


@pytest.mark.slow
def test_processes_that_create_a_new_database_at_once(sealed: Classifier, tmp_path: Path) -> None:
    """And whatever they write stays in `var`: the working directory of each is empty afterwards."""
    var, elsewhere = tmp_path / "var", tmp_path / "elsewhere"
    elsewhere.mkdir()
    processes = []
    for _ in range(2):
        code = REGISTER.replace("sys.stdin.read()", repr(str(sealed.folder)))
        processes.append(python(code, cwd=elsewhere, VAR_DIR=str(var), HOME=str(tmp_path / "home")))
    answers = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    assert sorted(out.split()[-1] for out, _ in answers) == ["1", "2"]
    assert list(elsewhere.iterdir()) == []
    assert {path.name for path in var.iterdir()} >= {"mlflow.db", "artifacts"}
    registry = ModelRegistry(TrackingSettings(var_dir=var))
    for version in registry.versions():
        assert Classifier.load(registry.fetch(version)).labels == sealed.labels
