"""One parser of references to models, for every command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from stores.bundles import find_bundle, find_version, registry_of
from stores.errors import BadModelReference, ModelNotRegistered
from stores.model_ref import ModelRef
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.support.bundles import registered, sealed_tfidf_bundle
from tests.support.registries import with_tables


def fields(text: str) -> dict[str, object]:
    reference = ModelRef.parse(text)
    names = ("name", "version", "alias", "latest", "run_id", "path", "folder")
    return {name: value for name in names if (value := getattr(reference, name))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("champion", {"alias": "champion"}),
        ("challenger", {"alias": "challenger"}),
        ("previous", {"alias": "previous"}),
        ("latest", {"latest": True}),
        ("7", {"version": "7"}),
        ("007", {"version": "7"}),
        ("models:/news@champion", {"name": "news", "alias": "champion"}),
        ("models:/news@prod_2", {"name": "news", "alias": "prod_2"}),
        ("models:/news/7", {"name": "news", "version": "7"}),
        ("models:/news/latest", {"name": "news", "latest": True}),
        ("models:/bob's tickets/3", {"name": "bob's tickets", "version": "3"}),
        ("models:/票 & co@champion", {"name": "票 & co", "alias": "champion"}),
        ("models:/7/7", {"name": "7", "version": "7"}),
        ("runs:/0123abcd/model", {"run_id": "0123abcd", "path": "model"}),
        ("runs:/0123abcd/a/b", {"run_id": "0123abcd", "path": "a/b"}),
        ("./champion", {"folder": Path("champion")}),
        ("/bundle", {"folder": Path("/bundle")}),
        ("var/models/x", {"folder": Path("var/models/x")}),
    ],
)
def test_each_form(text: str, expected: dict[str, object]) -> None:
    assert fields(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", " ", " 7", "7 ", "0", "-1", "1.5", "²", "٣", "7" * 20, "newest", "v7", "champion ", "Champion",
        "models:", "models:/", "models:/news", "models:/news/", "models:/news@", "models:/@champion", "models:news/7",
        "models://news/7", "models:/a/b/3", "models:/a:b/3", "models:/a#b/3", "models:/a?b/3", "models:/a@b/3",
        "models:/news/0", "models:/news/x", "models:/news@latest", "models:/news@v7", "models:/news@a b",
        'models:/a"b/3', "models:/news/7/8", "runs:", "runs:/", "runs:/abc", "runs:/abc/", "runs:/a b/model",
        "s3://bucket/folder", "http://host/x", "a\0b",
    ],
)  # fmt: skip
def test_what_has_none_of_them_is_refused_with_the_list(text: str) -> None:
    with pytest.raises(BadModelReference, match=messages.REFERENCE_TO_NO_MODEL):
        ModelRef.parse(text)


def test_a_folder_without_a_separator_has_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadModelReference):
        ModelRef.parse("bundle")
    for name in ("bundle", "champion", "7"):
        Path(name).mkdir()
    assert fields("bundle") == {"folder": Path("bundle")}
    assert fields("champion") == {"alias": "champion"}, "the alias comes first: ./champion is the folder"
    assert fields("7") == {"version": "7"}


def test_the_configured_model_is_the_alias_or_the_set_address() -> None:
    settings = TrackingSettings(model_name="tickets", model_alias="prod", model_uri=None)
    reference = ModelRef.configured(settings)
    assert (reference.name, reference.alias, str(reference)) == (None, "prod", "models:/tickets@prod")
    assert ModelRef.configured(settings.model_copy(update={"model_uri": "7"})).version == "7"


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 1 (previous), 2 (champion), 3 (challenger) of `bob's tickets`, from one bundle."""
    var = with_tables(tmp_path_factory.mktemp("registry"))
    registry = ModelRegistry(settings_in(var))
    sealed_tfidf_bundle(var / "bundle")
    for version in (1, 2, 3):
        registered(registry, var / "bundle", promote=version < 3)
    registry.challenge("3")
    return var


def settings_in(var: Path, **update: object) -> TrackingSettings:
    update = {"model_name": "bob's tickets", "model_uri": None, **update}
    return TrackingSettings(var_dir=var, mlflow_tracking_uri=f"sqlite:///{var / 'mlflow.db'}").model_copy(
        update=update
    )


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("champion", "2"),
        ("previous", "1"),
        ("challenger", "3"),
        ("latest", "3"),
        ("1", "1"),
        ("models:/bob's tickets@champion", "2"),
        ("models:/bob's tickets/1", "1"),
        ("models:/bob's tickets/latest", "3"),
    ],
)
def test_every_form_finds_its_version(var: Path, text: str, version: str) -> None:
    reference = ModelRef.parse(text)
    settings = settings_in(var, model_name="other") if reference.name else settings_in(var)
    assert find_version(reference, registry_of(reference, settings)).version == version


def test_a_bundle_of_a_run_and_one_in_a_folder_are_found(var: Path) -> None:
    settings = settings_in(var)
    version = ModelRegistry(settings).by_version("1")
    found = find_bundle(ModelRef.parse(f"runs:/{version.run_id}/model"), settings, None)
    assert (found.folder / "manifest.json").is_file()
    assert found.model.model_id == version.model_id
    for text in (f"runs:/{version.run_id}/other", f"runs:/{'0' * 32}/model"):
        with pytest.raises(ModelNotRegistered):
            find_bundle(ModelRef.parse(text), settings, None)
    folder = find_bundle(ModelRef.parse(str(var / "bundle")), settings, None)
    assert (folder.model.version, folder.model.name, folder.title) == ("folder", "bundle", "bundle bundle")


def test_every_command_takes_every_form_with_one_refusal(
    var: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from classifier import Classifier
    from monitoring.champion import find_champion, monitored_name
    from service.batch_scoring.errors import ModelMissing
    from service.batch_scoring.model import load_model
    from service.inference.model_sources import source_of
    from stores.settings import SigningSettings
    from training.commands.cli import main
    from training.commands.distill import teacher_folder
    from training.commands.evaluate import find_model
    from training.errors import EvaluationRefused, ExperimentInvalid, TeacherUnusable
    from training.experiment.rerun import experiment_file

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAR_DIR", str(var))
    monkeypatch.setenv("MODEL_NAME", "bob's tickets")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", settings_in(var).tracking_uri)
    monkeypatch.delenv("MODEL_URI", raising=False)
    for text in ("champion", "2", "models:/bob's tickets/2", "models:/bob's tickets@champion"):
        settings, signing = settings_in(var, model_uri=text), SigningSettings()
        assert source_of(settings).target().version == "2"
        assert load_model(settings, signing).version == "2"
        assert find_champion(ModelRegistry(settings), settings, signing).model.version == "2"
        assert monitored_name(settings) == "bob's tickets"
        assert find_model(text)[0] == "bob's tickets, version 2"
        assert Classifier.load(teacher_folder(text)).labels
    said = "names no model"
    settings = settings_in(var, model_uri="models:/a/b/3")
    with pytest.raises(BadModelReference, match=said):
        source_of(settings)
    with pytest.raises(BadModelReference, match=said):
        monitored_name(settings)
    with pytest.raises(ModelMissing, match=said):
        load_model(settings, SigningSettings())
    with pytest.raises(EvaluationRefused, match=said):
        find_model("newest")
    with pytest.raises(TeacherUnusable, match=said):
        teacher_folder("newest")
    with pytest.raises(ExperimentInvalid, match=said):
        experiment_file("models:/a/b/3")
    for version in ("newest", "models:/a/b/3", "models:/other/1", os.fspath(var / "bundle")):
        refused = CliRunner().invoke(main, ["promote", version])
        assert refused.exit_code == 2, refused.output
    assert ModelRegistry(settings_in(var)).aliases()["champion"] == "2"
