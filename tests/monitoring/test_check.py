"""Whole checks over real predictions: what is said, and what is left behind."""

from __future__ import annotations

import json
import random
import shutil
from datetime import datetime
from pathlib import Path
from typing import get_args

import mlflow
import numpy as np
import pytest

from classifier.errors import BundleDamaged, BundleUntrusted
from monitoring.check import run_check
from monitoring.errors import NoReference
from monitoring.publishing import ReportMode
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Verdict
from stores.errors import BadModelReference, ModelNotRegistered, RegistryUnavailable
from stores.predictions.checks import CheckLog
from stores.registry import ModelRegistry, RegisteredModel
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings
from tests.monitoring.conftest import NOW, WINDOW, House, copy_of_bundle, mistyped, normal
from tests.support.bundles import bbc_part


def by_name(verdict: Verdict) -> dict[str, str]:
    return {signal.name: signal.status for signal in verdict.drift.signals}


def test_normal_traffic_is_quiet_and_everything_is_written_down(house: House) -> None:
    texts, labels = normal(200)
    house.answer(texts, labels=labels[:90])
    before = np.random.get_state()[1][:5].tolist()
    checked = house.check()
    verdict = checked.verdict
    assert verdict.status == "ok"
    assert verdict.exit_code == 0
    assert verdict.reasons == []
    found = by_name(verdict)
    assert found.pop("service_latency") == "insufficient_data"
    assert set(found.values()) == {"ok"}
    assert len(found) == 12
    assert verdict.accuracy.labelled == 90
    assert verdict.accuracy.coverage == pytest.approx(0.45)
    assert verdict.accuracy.mean_lag_seconds == pytest.approx(30)
    assert verdict.accuracy.accuracy is not None
    assert verdict.accuracy.accuracy.low < verdict.accuracy.accuracy.value < verdict.accuracy.accuracy.high
    written = Verdict.model_validate_json((checked.folder / "verdict.json").read_text())
    assert written == verdict
    assert (house.var / "monitoring" / "latest").resolve() == checked.folder.resolve()
    assert {path.name for path in checked.folder.iterdir()} == {
        "report.html", "evidently.html", "verdict.json", "monitoring.prom",
    }  # fmt: skip
    assert np.random.get_state()[1][:5].tolist() == before, "numpy's global generator was reseeded"


@pytest.mark.parametrize("pages", get_args(ReportMode))
def test_pages_follow_the_report_mode(house: House, pages: ReportMode) -> None:
    house.answer(normal(100)[0])
    calm = house.check(pages=pages)
    house.answer(mistyped(normal(100)[0]), at=NOW - 30)
    changed = house.check(pages=pages)
    always = {"verdict.json", "monitoring.prom"}
    written = {
        "full": always | {"report.html", "evidently.html"},
        "breach": always | {"report.html"},
        "none": always,
    }
    for checked, pictures in ((calm, pages == "full"), (changed, pages != "none")):
        assert {path.name for path in checked.folder.iterdir()} == written[pages]
        assert checked.report.is_file()
        assert ("<img" in checked.report.read_text(encoding="utf-8")) == pictures
    assert (calm.verdict.status, changed.verdict.status) == ("ok", "breach")


def test_a_folder_keeps_no_page_of_an_earlier_check(house: House, tmp_path: Path) -> None:
    house.answer(normal(60)[0])
    house.check(tmp_path / "here")
    house.check(tmp_path / "here", pages="none")
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"verdict.json", "monitoring.prom"}


def test_a_topic_that_crowds_out_others_shows_in_the_labels(house: House) -> None:
    texts, labels = bbc_part(2)
    tech = [text for text, label in zip(texts, labels, strict=True) if label == "tech"]
    others = [text for text, label in zip(texts, labels, strict=True) if label != "tech"]
    house.answer(tech + random.Random(1).sample(others, len(tech) * 2 // 3))
    verdict = house.verdict()
    assert verdict.status == "breach"
    assert verdict.exit_code == 1
    assert by_name(verdict)["predicted_label"] == "breach"
    assert any("tech went from" in reason for reason in verdict.reasons)


def test_careless_typing_is_found_in_the_words(house: House) -> None:
    house.answer(mistyped(normal(100)[0]))
    verdict = house.verdict()
    assert {"unseen_words", "text_content"} <= {n for n, s in by_name(verdict).items() if s == "breach"}
    assert "unseen words" in verdict.summary


def test_a_window_larger_than_the_reference_is_judged(house: House) -> None:
    texts = bbc_part(2)[0] + bbc_part(3)[0] + bbc_part(4)[0]
    house.answer(texts)
    verdict = house.verdict()
    assert verdict.window.distinct_texts > 1000
    assert verdict.status == "ok"


def test_the_same_window_gets_the_same_verdict(house: House) -> None:
    house.answer(normal(120)[0])
    first, second = house.check().verdict, house.check().verdict
    assert first.drift == second.drift


def test_an_empty_store_is_too_little_data_and_no_alarm(house: House) -> None:
    checked = house.check()
    verdict = checked.verdict
    assert verdict.status == "insufficient_data"
    assert verdict.exit_code == 0
    assert "0 different texts" in verdict.summary
    assert set(by_name(verdict).values()) == {"insufficient_data"}
    assert verdict.accuracy.expected_accuracy is None
    assert "Too little data" in checked.report.read_text()
    assert not (checked.folder / "evidently.html").exists()


def test_fewer_texts_than_the_minimum_say_how_many_are_missing(house: House) -> None:
    house.answer(mistyped(normal(49)[0]))
    verdict = house.verdict()
    assert verdict.status == "insufficient_data"
    assert "49 different texts" in verdict.summary
    assert "50 are needed" in verdict.summary


def test_one_text_sent_a_thousand_times_is_one_text(house: House) -> None:
    house.answer(normal(1)[0] * 1000)
    verdict = house.verdict()
    assert verdict.status == "insufficient_data"
    assert verdict.window.distinct_texts == 1
    assert verdict.window.repeated_texts == 999
    assert any("100% of the predictions repeat a text" in note for note in verdict.notes)


def test_repeating_each_text_makes_a_window_no_more_certain(house: House) -> None:
    house.answer(normal(100)[0] * 5)
    verdict = house.verdict()
    assert verdict.status == "ok"
    assert verdict.window.repeated_texts >= 400


def test_texts_of_the_reference_are_no_drift(house: House) -> None:
    house.answer(bbc_part(1)[0][::2])
    verdict = house.verdict()
    statuses = by_name(verdict)
    assert verdict.status == "ok"
    assert statuses["text_content"] == statuses["unseen_words"] == "insufficient_data"
    assert statuses["confidence"] == "ok"
    assert verdict.window.texts_of_reference == verdict.window.distinct_texts


def test_all_of_one_class_is_a_breach_that_names_it(house: House) -> None:
    texts, labels = bbc_part(2)
    house.answer([text for text, label in zip(texts, labels, strict=True) if label == "sports"])
    verdict = house.verdict()
    assert by_name(verdict)["predicted_label"] == "breach"
    assert any("sports went from" in reason for reason in verdict.reasons)


def test_a_class_without_texts_and_labels_is_reported_absent(house: House) -> None:
    texts, labels = bbc_part(2)
    kept = [i for i, text in enumerate(texts) if house.classifier.predict([text]).argmax() != 4]
    kept = [i for i in kept if labels[i] != "tech"]
    house.answer([texts[i] for i in kept], labels=[labels[i] for i in kept])
    verdict = house.verdict()
    tech = next(score for score in verdict.accuracy.classes if score.label == "tech")
    assert tech.f1 is None
    assert tech.labelled == 0
    assert tech.status == "insufficient_data"
    assert verdict.accuracy.macro_f1 is not None
    assert verdict.accuracy.macro_f1.value > 0.9


def test_other_versions_are_counted_and_not_compared(house: House) -> None:
    house.answer(mistyped(normal(150)[0]), at=NOW - 1800, version="41")
    house.answer(normal(150)[0], at=NOW - 900)
    verdict = house.verdict()
    assert verdict.status == "ok"
    assert verdict.window.predictions == 150
    assert verdict.window.other_versions == 150
    assert any("150 predictions of other versions" in note for note in verdict.notes)


def test_more_traffic_than_is_read_is_sampled(house: House) -> None:
    house.answer(bbc_part(2)[0])
    verdict = house.verdict(monitoring_max_texts=100)
    assert verdict.window.predictions == 445
    assert verdict.window.sampled == 100
    # Which texts are sampled depends on random ids, and a share alpha of the samples alarms.
    assert verdict.drift.status != "insufficient_data"


def test_wrong_answers_breach_by_their_labels_alone(house: House) -> None:
    texts, labels = normal(200)
    wrong = ["sports" if label != "sports" else "tech" for label in labels]
    house.answer(texts, labels=[*wrong[:80], *labels[80:120]])
    verdict = house.verdict(monitoring_min_accuracy=0.75)
    assert verdict.drift.status == "ok"
    assert verdict.status == "breach"
    assert "below 75.0%" in verdict.summary
    assert "fell by" in " ".join(verdict.reasons)


def test_a_proven_fall_of_accuracy_is_the_first_sentence(house: House) -> None:
    texts, labels = normal(200)
    wrong = ["sports" if label != "sports" else "tech" for label in labels]
    house.answer(texts, labels=[*wrong[:22], *labels[22:]])
    verdict = house.verdict(
        monitoring_max_accuracy_fall=0.1, monitoring_min_accuracy=0.5, monitoring_min_macro_f1=0.5
    )
    found = verdict.accuracy
    assert (verdict.status, found.status) == ("ok", "ok")
    assert found.fall is not None
    assert 0 < found.fall.low < 0.1 < found.fall.high
    first = verdict.summary.split(". ")[0]
    assert first.startswith(f"Accuracy fell from {found.reference_accuracy:.1%} at registration to ")
    assert f"99% interval {100 * found.fall.low:.1f} to {100 * found.fall.high:.1f}" in first
    assert verdict.summary.count("Accuracy") == 1, "it is said once"


def test_the_moment_of_a_change_inside_the_window_is_found(house: House) -> None:
    texts = normal(160)[0]
    for number, text in enumerate([*texts[:80], *mistyped(texts[80:], 0.4)]):
        house.answer([text], at=NOW - 1600 + 10 * number)
    first = house.check().verdict
    since = next(signal.since for signal in first.drift.signals if signal.name == "unseen_words")
    assert since is not None
    assert since.by == "within_window"
    assert abs(datetime.fromisoformat(since.moment).timestamp() - (NOW - 800)) < 60
    assert first.model.first_prediction is not None
    assert abs(datetime.fromisoformat(first.model.first_prediction).timestamp() - (NOW - 1600)) < 1
    assert any("answered first on" in note for note in first.notes)
    (kept,) = CheckLog(house.store).last(9, first.model.name)
    assert kept.signals["unseen_words"]["since"] == since.moment


def test_a_label_that_the_model_lacks_is_wrong_and_named(house: House) -> None:
    texts, labels = normal(120)
    house.answer(texts, labels=["weather"] * 5 + labels[5:60])
    verdict = house.verdict()
    weather = next(score for score in verdict.accuracy.classes if score.label == "weather")
    assert not weather.known
    assert weather.labelled == 5
    assert weather.reference_f1 is None
    assert any("does not know: weather" in note for note in verdict.notes)


def test_too_few_labels_say_so(house: House) -> None:
    house.answer(normal(100)[0], labels=["sports"] * 29)
    verdict = house.verdict()
    assert verdict.status == "ok"
    assert verdict.accuracy.status == "insufficient_data"
    assert "29 of 100 predictions have a label; 30 are needed" in verdict.accuracy.words


def test_texts_without_words_do_not_stop_the_check(house: House) -> None:
    house.answer([f"{number} %%% {number * 7}" for number in range(60)])
    verdict = house.check().verdict
    assert by_name(verdict)["non_letters"] == "breach"


def test_no_champion_says_how_to_get_one(own_registry: TrackingSettings) -> None:
    with pytest.raises(ModelNotRegistered, match="python -m training run"):
        check_with(own_registry)


def test_without_registry_and_cache_nothing_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = TrackingSettings(var_dir=tmp_path, mlflow_tracking_uri="http://127.0.0.1:9")
    with pytest.raises(RegistryUnavailable, match=r"127\.0\.0\.1:9"):
        check_with(away)


def test_without_mlflow_the_last_known_champion_is_checked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.answer(normal(60)[0])
    house.check()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = TrackingSettings(var_dir=house.var, mlflow_tracking_uri="http://127.0.0.1:9")
    # The cache is kept by registry: the one that is away gets what the other one downloaded.
    shutil.copytree(house.registry.cache.root, ModelRegistry(away).cache.root, dirs_exist_ok=True)
    verdict = check_with(away, var=house.var).verdict
    assert verdict.status == "ok"
    assert any("MLflow does not answer" in note for note in verdict.notes)
    assert any("not logged" in note for note in verdict.notes)


def test_a_damaged_bundle_is_refused_by_the_name_of_the_file(
    template: tuple[Path, RegisteredModel], tmp_path: Path
) -> None:
    bundle = copy_of_bundle(template[0], tmp_path / "bundle")
    with (bundle / "reference.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleDamaged, match=r"reference\.parquet"):
        check_with(TrackingSettings(var_dir=tmp_path, model_uri=str(bundle)))


def test_a_bundle_without_a_reference_is_refused(
    template: tuple[Path, RegisteredModel], tmp_path: Path
) -> None:
    bundle = copy_of_bundle(template[0], tmp_path / "bundle")
    (bundle / "reference.parquet").unlink()
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["files"]["reference.parquet"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(NoReference, match="no reference profile"):
        check_with(TrackingSettings(var_dir=tmp_path, model_uri=str(bundle)))


def test_an_unsigned_bundle_is_refused_when_a_key_is_set(house: House) -> None:
    with pytest.raises(BundleUntrusted, match="not signed"):
        check_with(house.tracking, key="secret", var=house.var)


def test_a_pinned_folder_is_watched_by_its_logged_name(
    house: House, template: tuple[Path, RegisteredModel]
) -> None:
    verdict = check_with(
        house.tracking.model_copy(update={"model_uri": str(template[0] / "bundle")}), var=house.var
    ).verdict
    assert (verdict.model.name, verdict.model.version) == ("bundle", "folder")


def test_a_model_address_that_is_none_is_explained(house: House) -> None:
    with pytest.raises(BadModelReference, match="models:/NAME/VERSION"):
        check_with(house.tracking.model_copy(update={"model_uri": "models:news"}), var=house.var)


def test_a_check_is_an_mlflow_run_with_tags_metrics_and_files(house: House) -> None:
    texts, labels = normal(100)
    house.answer(texts, labels=labels)
    verdict = house.check().verdict
    experiment = house.registry.client.get_experiment_by_name("monitoring")
    run = house.registry.client.search_runs([experiment.experiment_id], max_results=1)[0]
    assert run.data.tags["verdict"] == "ok"
    assert run.data.tags["model_version"] == house.champion.version
    assert verdict.accuracy.accuracy is not None
    assert run.data.metrics["accuracy"] == pytest.approx(verdict.accuracy.accuracy.value)
    assert run.data.metrics["predicted_label.value"] == pytest.approx(
        next(s.value for s in verdict.drift.signals if s.name == "predicted_label")
    )
    files = {file.path for file in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)}
    assert files == {"verdict.json", "report.html"}


def test_old_reports_are_removed(house: House) -> None:
    folders = [house.check(monitoring_keep_reports=2).folder for _ in range(3)]
    assert [folder.exists() for folder in folders] == [False, True, True]


def check_with(tracking: TrackingSettings, *, key: str | None = None, var: Path | None = None):  # type: ignore[no-untyped-def]
    var = var or tracking.var_dir
    return run_check(
        *WINDOW,
        MonitoringSettings(var_dir=var, monitoring_permutations=1999),
        tracking=tracking,
        predictions=PredictionSettings(var_dir=var),
        signing=SigningSettings(model_signing_key=key),
    )
