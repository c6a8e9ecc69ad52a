"""Bundles tried in a child process: what is refused, by which limit, and what is left running."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from classifier import BundleError, Classifier
from classifier.precision import load_fastest
from service.inference.bundle_check import CheckFailed, CheckLimits, CheckStopped, check_bundle
from tests import golden_messages as messages
from tests.support.broken_bundles import BREAKS, MANIFESTS, broken, endless_network

LIMITS = CheckLimits(seconds=120)


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return endless_network(tmp_path_factory.mktemp("endless") / "bundle")


def children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "service.inference.bundle_check" in child.cmdline()
    ]


def test_a_good_bundle_passes_and_is_not_tried_again(bundle: Path, tmp_path: Path) -> None:
    check_bundle(bundle, LIMITS, device="cpu", marks=tmp_path)
    (mark,) = tmp_path.iterdir()
    # A second try could not succeed in this time.
    check_bundle(bundle, CheckLimits(seconds=0.001), device="cpu", marks=tmp_path)
    with pytest.raises(CheckFailed):
        check_bundle(bundle, CheckLimits(seconds=0.001), device="cpu")
    with pytest.raises(CheckFailed):
        check_bundle(bundle, CheckLimits(seconds=0.001), device="cpu", precision="float32", marks=tmp_path)
    assert list(tmp_path.iterdir()) == [mark]


@pytest.mark.parametrize("kind", [*BREAKS, *MANIFESTS])
def test_each_broken_bundle_is_refused_as_one(bundle: Path, tmp_path: Path, kind: str) -> None:
    folder = broken(bundle, tmp_path / kind, kind)
    for load in (Classifier.load, load_fastest):
        with pytest.raises(BundleError, match=kind):
            load(folder)


def test_what_the_child_refuses_is_raised_here(bundle: Path, tmp_path: Path) -> None:
    folder = broken(bundle, tmp_path / "broken", "no_golden_text")
    with pytest.raises(BundleError, match=messages.GOLDEN_FILE_INVALID):
        check_bundle(folder, LIMITS, device="cpu", marks=tmp_path)
    assert not list(tmp_path.glob("checked-*"))


def test_a_network_that_never_ends_is_given_up(endless: Path) -> None:
    with pytest.raises(CheckFailed, match="MODEL_CHECK_SECONDS"):
        check_bundle(endless, CheckLimits(seconds=5), device="cpu")
    assert children() == []


def test_a_service_that_stops_does_not_wait_for_it(endless: Path) -> None:
    stopping = threading.Event()
    threading.Timer(1, stopping.set).start()
    with pytest.raises(CheckStopped):
        check_bundle(endless, LIMITS, device="cpu", stopping=stopping.is_set)
    assert children() == []


def test_memory_is_limited(bundle: Path) -> None:
    with pytest.raises(CheckFailed, match="MODEL_CHECK_BYTES"):
        check_bundle(bundle, CheckLimits(seconds=120, memory=1 << 20), device="cpu")


def test_the_child_ends_with_its_parent(endless: Path) -> None:
    """The parent dies without ending it, as by kill -9."""
    told, tell = os.pipe()
    parent = os.fork()
    if parent == 0:
        try:
            checking = threading.Thread(
                target=lambda: check_bundle(endless, LIMITS, device="cpu"), daemon=True
            )
            checking.start()
            while not (found := children()):
                time.sleep(0.05)
            os.write(tell, f"{found[0].pid}\n".encode())
            time.sleep(3)
        finally:
            os._exit(0)
    child = int(os.read(told, 20))
    os.waitpid(parent, 0)
    os.close(told)
    os.close(tell)
    give_up = time.monotonic() + 60
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < give_up, "it outlives its parent"
        time.sleep(0.05)
