"""With a key set, unsigned versions and exchanged ones are refused."""

from __future__ import annotations

import shutil

from classifier import SigningKeys
from tests import golden_messages as messages
from tests.service.inference.following.conftest import Watched
from tests.support.bundles import registered, sealed_tfidf_bundle


def test_an_unsigned_champion_is_refused_when_a_key_is_set(settings, registry, bundle, tmp_path):
    registered(registry, bundle)
    watched = Watched(settings, key="a signing key")
    watched.follower.poll()
    assert watched.version is None
    assert messages.VERSION_NOT_SIGNED in watched.problem
    sealed_tfidf_bundle(tmp_path / "signed", signing_key="a signing key")
    registered(registry, tmp_path / "signed", keys=SigningKeys("a signing key"))
    watched.follower.poll()
    assert watched.version == "2"


def test_a_signed_version_in_the_place_of_another_is_refused(settings, registry, bundle, second_bundle):
    keys = SigningKeys("a signing key")
    registered(registry, bundle, keys=keys)
    watched = Watched(settings, key="a signing key")
    watched.follower.poll()
    registered(registry, second_bundle, keys=keys)
    # The files of version 1, which were signed, are put where those of version 2 are.
    folder = registry.fetch(registry.by_version("2"))
    shutil.rmtree(folder)
    shutil.copytree(registry.fetch(registry.by_version("1")), folder)
    forget, watched.follower._source.forget = watched.follower._source.forget, lambda wanted: False
    watched.follower.poll()
    assert watched.version == "1"
    assert messages.SIGNED_AS_OTHER_VERSION in watched.problem
    assert watched.reasons[-1] == "untrusted"
    # Where the registry has the right files, the copy in the cache is replaced by them.
    watched.follower._source.forget = forget
    watched.follower._rejected = None
    watched.follower.poll()
    assert watched.version == "2"
