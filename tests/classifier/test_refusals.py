"""Every way a bundle can be wrong, and that the refusal names the file."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from classifier import (
    BundleDamaged,
    BundleError,
    BundleIncomplete,
    BundleUntrusted,
    BundleVersionUnknown,
    Classifier,
    Description,
    GoldenMismatch,
    seal_bundle,
)
from classifier.manifest import verify_manifest, write_manifest
from classifier.runtimes.sklearn import load_skops, save_skops
from tests import golden_messages as messages
from tests.classifier.conftest import KEY
from tests.support.bundles import TOPICS

FILES = ("classifier.json", "golden.json", "manifest.json", "pipeline.skops", "reference.parquet")


def names(path: Path) -> str:
    """A pattern for a message that names `path`."""
    return re.escape(str(path))


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file in place."""
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_the_list_of_files_is_the_whole_bundle(bundle: Path) -> None:
    assert sorted(path.name for path in bundle.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file(bundle: Path, file: str) -> None:
    (bundle / file).unlink()
    with pytest.raises(BundleIncomplete, match=names(bundle / file)):
        Classifier.load(bundle)


@pytest.mark.parametrize("file", ["classifier.json", "golden.json", "pipeline.skops"])
def test_a_missing_file_that_nobody_listed_either(bundle: Path, file: str) -> None:
    (bundle / file).unlink()
    write_manifest(bundle, data={})
    with pytest.raises(BundleIncomplete, match=names(bundle / file)):
        Classifier.load(bundle)


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json"])
def test_a_missing_file_of_a_network(network_bundle: Path, file: str) -> None:
    (network_bundle / file).unlink()
    with pytest.raises(BundleIncomplete, match=names(network_bundle / file)):
        Classifier.load(network_bundle, verify=False)
    with pytest.raises(BundleIncomplete, match=names(network_bundle / file)):
        Classifier.load(network_bundle)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BundleIncomplete, match=messages.NOT_A_BUNDLE):
        Classifier.load(tmp_path / "nowhere")


@pytest.mark.parametrize("file", ["extra.txt", "report/new.png", ".hidden"])
def test_a_file_that_nobody_listed(bundle: Path, file: str) -> None:
    (bundle / file).parent.mkdir(exist_ok=True)
    (bundle / file).write_text("slipped in")
    with pytest.raises(BundleIncomplete, match=names(bundle / file) + messages.FILE_NOT_LISTED):
        Classifier.load(bundle)


@pytest.mark.parametrize("file", [file for file in FILES if file != "manifest.json"])
@pytest.mark.parametrize("position", [0.0, 0.5, 1.0])
def test_a_flipped_byte(bundle: Path, file: str, position: float) -> None:
    content = bytearray((bundle / file).read_bytes())
    content[round(position * (len(content) - 1))] ^= 0x01
    (bundle / file).write_bytes(content)
    with pytest.raises(BundleDamaged, match=names(bundle / file) + messages.FILE_CHANGED):
        Classifier.load(bundle)


def test_a_flipped_byte_in_a_network(network_bundle: Path) -> None:
    path = network_bundle / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(BundleDamaged, match=names(path)):
        Classifier.load(network_bundle)


def test_a_manifest_cut_short(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_text(path.read_text()[:-10])
    with pytest.raises(BundleDamaged, match=names(path)):
        Classifier.load(bundle)


@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"files": 3}', '{"files": ["a"]}'])
def test_a_manifest_of_another_shape(bundle: Path, content: str) -> None:
    (bundle / "manifest.json").write_text(content)
    with pytest.raises(BundleDamaged, match=names(bundle / "manifest.json")):
        Classifier.load(bundle)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_an_unknown_format_version(bundle: Path, version: object) -> None:
    edit(bundle / "classifier.json", lambda raw: raw | {"format_version": version})
    write_manifest(bundle, data={})
    with pytest.raises(BundleVersionUnknown, match=messages.FORMAT_VERSION_UNKNOWN):
        Classifier.load(bundle)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["a", "a"]},
        {"labels": ["only"]},
        {"temperature": 0},
        {"model_file": "../other/pipeline.skops"},
        {"model_file": "/etc/pipeline.skops"},
        {"model_file": ""},
        {"max_length": 1},
        {"unknown": 1},
    ],
)
def test_a_description_that_makes_no_sense(bundle: Path, change: dict[str, Any]) -> None:
    edit(bundle / "classifier.json", lambda raw: raw | change)
    write_manifest(bundle, data={})
    with pytest.raises(BundleDamaged, match=messages.DESCRIPTION_INVALID):
        Classifier.load(bundle)


def test_a_kind_without_a_runtime_is_refused(bundle: Path) -> None:
    edit(bundle / "classifier.json", lambda raw: raw | {"kind": "pickle"})
    write_manifest(bundle, data={})
    with pytest.raises(BundleDamaged, match=messages.KIND_WITHOUT_RUNTIME):
        Classifier.load(bundle)


def test_signatures(bundle: Path) -> None:
    assert Classifier.load(bundle, signing_key=KEY).labels == TOPICS
    with pytest.raises(BundleUntrusted, match=messages.SIGNED_WITH_ANOTHER_KEY):
        Classifier.load(bundle, signing_key="another key")
    edit(bundle / "manifest.json", lambda raw: raw | {"data": {"source": "elsewhere"}})
    with pytest.raises(BundleUntrusted, match=messages.SIGNED_AND_CHANGED):
        Classifier.load(bundle, signing_key=KEY)
    write_manifest(bundle, data={})
    with pytest.raises(BundleUntrusted, match=messages.BUNDLE_NOT_SIGNED):
        Classifier.load(bundle, signing_key=KEY)
    assert Classifier.load(bundle).labels == TOPICS


def test_hashes_made_anew_do_not_help_who_lacks_the_key(bundle: Path) -> None:
    edit(bundle / "classifier.json", lambda raw: raw | {"candidate": "forged"})
    manifest = json.loads((bundle / "manifest.json").read_text())
    forged = write_manifest(bundle, data=manifest["data"], signing_key="a guess")
    (bundle / "manifest.json").write_text(json.dumps(forged | {"hmac": manifest["hmac"]}))
    with pytest.raises(BundleUntrusted):
        Classifier.load(bundle, signing_key=KEY)


def test_a_model_that_computes_something_else(bundle: Path) -> None:
    def nudge(raw: dict[str, Any]) -> dict[str, Any]:
        row = raw["texts"][3]["probabilities"]
        row[0], row[1] = row[1] + 0.01, row[0] - 0.01
        return raw

    edit(bundle / "golden.json", nudge)
    write_manifest(bundle, data={})
    with pytest.raises(GoldenMismatch, match=messages.GOLDEN_TEXT_OFF):
        Classifier.load(bundle)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda raw: raw | {"texts": []}, BundleDamaged),
        (lambda raw: raw | {"tolerance": float("nan")}, GoldenMismatch),
        (lambda raw: raw | {"texts": [{"text": "a", "probabilities": [0.5, 0.5]}]}, GoldenMismatch),
        (lambda raw: raw | {"texts": [{"text": "a", "probabilities": [float("nan")] * 5}]}, GoldenMismatch),
        (lambda raw: raw | {"texts": [{"text": "a"}]}, BundleDamaged),
        (lambda raw: [], BundleDamaged),
    ],
)
def test_golden_texts_that_prove_nothing(
    bundle: Path, change: Callable[[Any], Any], error: type[BundleError]
) -> None:
    edit(bundle / "golden.json", change)
    write_manifest(bundle, data={})
    with pytest.raises(error, match=r"golden\.json"):
        Classifier.load(bundle)


@pytest.mark.parametrize("labels", [TOPICS[:4], ("no", "other", "such", "topics", "here")])
def test_labels_that_are_not_the_classes_of_the_model(bundle: Path, labels: tuple[str, ...]) -> None:
    edit(bundle / "classifier.json", lambda raw: raw | {"labels": list(labels)})
    write_manifest(bundle, data={})
    with pytest.raises(BundleDamaged, match=messages.PIPELINE_OTHER_CLASSES):
        Classifier.load(bundle)


def test_fewer_labels_than_outputs_of_a_network(network_bundle: Path) -> None:
    edit(network_bundle / "classifier.json", lambda raw: raw | {"labels": list(TOPICS[:4])})
    write_manifest(network_bundle, data={})
    with pytest.raises(GoldenMismatch, match=messages.NETWORK_OTHER_SHAPE):
        Classifier.load(network_bundle)


def test_labels_that_are_not_the_classes_of_a_catboost_model(catboost: Classifier, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(catboost.folder, tmp_path / "bundle"))
    edit(folder / "classifier.json", lambda raw: raw | {"labels": [*TOPICS, "one more"]})
    write_manifest(folder, data={})
    with pytest.raises(BundleDamaged, match=messages.CATBOOST_OTHER_CLASSES):
        Classifier.load(folder)


def test_labels_in_another_order_than_the_pipeline(bundle: Path) -> None:
    edit(bundle / "classifier.json", lambda raw: raw | {"labels": list(reversed(TOPICS))})
    with pytest.raises(BundleDamaged, match=messages.PIPELINE_OTHER_ORDER):
        Classifier.load(bundle, verify=False)


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json"])
def test_files_of_a_network_that_are_something_else(network_bundle: Path, file: str) -> None:
    (network_bundle / file).write_bytes(b"{}")
    with pytest.raises(BundleDamaged, match=names(network_bundle / file)):
        Classifier.load(network_bundle, verify=False)


def test_a_catboost_file_that_is_something_else(catboost: Classifier, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(catboost.folder, tmp_path / "bundle"))
    (folder / "model.cbm").write_bytes(b"CBM1 but not really")
    with pytest.raises(BundleDamaged, match=names(folder / "model.cbm")):
        Classifier.load(folder, verify=False)
    (folder / "model.cbm").unlink()
    with pytest.raises(BundleIncomplete, match=names(folder / "model.cbm")):
        Classifier.load(folder, verify=False)


class Stranger(BaseEstimator):  # type: ignore[misc]
    """A type of no known library: loading it would run this module's code."""

    def predict_proba(self, texts: list[str]) -> list[list[float]]:
        return [[0.5, 0.5] for _ in texts]


def test_a_type_that_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.skops"
    save_skops(make_pipeline(Stranger(), LogisticRegression()), path)
    with pytest.raises(BundleUntrusted, match=names(path) + r".*Stranger"):
        load_skops(path)


def test_a_pickle_is_not_a_skops_file(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.skops"
    path.write_bytes(b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00cposix\nsystem\n.")
    with pytest.raises(BundleDamaged, match=names(path)):
        load_skops(path)


def test_sealing_needs_a_golden_text_and_a_model(tmp_path: Path) -> None:
    description = Description(kind="sklearn", model_file="pipeline.skops", labels=("a", "b"))
    with pytest.raises(ValueError, match=messages.GOLDEN_TEXT_NEEDED):
        seal_bundle(tmp_path, description, golden_texts=[], data={})
    with pytest.raises(BundleIncomplete, match=names(tmp_path / "pipeline.skops")):
        seal_bundle(tmp_path, description, golden_texts=["a"], data={})


def test_the_manifest_tells_where_it_came_from(bundle: Path) -> None:
    manifest = verify_manifest(bundle)
    assert set(manifest["files"]) == set(FILES) - {"manifest.json"}
    assert manifest["data"] == {"source": "bbc-news"}
    assert manifest["libraries"]["onnxruntime"]
    assert manifest["machine"]["cores"]
    assert len(manifest["hmac"]) == 64


def test_every_refusal_is_a_bundle_error() -> None:
    for error in (BundleDamaged, BundleIncomplete, BundleUntrusted, BundleVersionUnknown, GoldenMismatch):
        assert issubclass(error, BundleError)
