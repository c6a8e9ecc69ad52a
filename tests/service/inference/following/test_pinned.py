"""A version or a folder that MODEL_URI names."""

from __future__ import annotations

import pytest

from service.inference.model_sources import source_of
from stores.errors import BadModelReference
from stores.settings import TrackingSettings
from tests.service.inference.following.conftest import Watched
from tests.support.bundles import registered


def test_a_pinned_version_is_kept_whatever_is_promoted(settings, registry, bundle, second_bundle):
    registered(registry, bundle)
    registered(registry, second_bundle)
    watched = Watched(settings.model_copy(update={"model_uri": f"models:/{registry.name}/1"}))
    watched.follower.poll()
    assert watched.version == "1"
    assert watched.follower.state.source == f"models:/{registry.name}/1"


def test_a_folder_is_served_without_any_registry(tmp_path, bundle):
    watched = Watched(TrackingSettings(var_dir=tmp_path, model_uri=str(bundle)))
    watched.follower.poll()
    served = watched.follower.served
    assert served is not None
    assert (served.name, served.version, served.alias) == ("news", "folder", None)
    assert not (tmp_path / "mlflow.db").exists()


def test_a_folder_that_is_no_bundle_is_told(tmp_path):
    watched = Watched(TrackingSettings(var_dir=tmp_path, model_uri=str(tmp_path / "nothing")))
    watched.follower.poll()
    assert watched.version is None
    assert "nothing" in watched.problem


@pytest.mark.parametrize("uri", ["models:/news", "models:/news/latest", "models:/a/b/3", "models:", "latest"])
def test_an_address_that_is_none_is_refused_at_the_start(uri):
    with pytest.raises(BadModelReference):
        source_of(TrackingSettings(model_uri=uri))
