"""Where a network computes: refused where it is not there, and never quietly somewhere else.

What ONNX Runtime built for CUDA offers is told to the code here; only a machine with a GPU can show that it computes
there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from classifier import Classifier, DeviceMissing
from classifier.device import device_of, providers
from classifier.precision import load_fastest
from tests import golden_messages as messages
from tests.support.bundles import bbc_part

BUILT_FOR_CUDA = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
BUILT_WITHOUT = ("AzureExecutionProvider", "CPUExecutionProvider")


def test_auto_takes_the_gpu_where_one_is_offered() -> None:
    for asked in ("auto", "cuda"):
        first, last = providers(asked, BUILT_FOR_CUDA)
        assert first == ("CUDAExecutionProvider", {"use_tf32": "0"})
        assert last == "CPUExecutionProvider"
    assert providers("cpu", BUILT_FOR_CUDA) == ["CPUExecutionProvider"]
    assert providers("auto", BUILT_WITHOUT) == ["CPUExecutionProvider"]


def test_cuda_is_refused_where_onnxruntime_lacks_it() -> None:
    with pytest.raises(DeviceMissing, match=messages.DEVICE_PROVIDER_MISSING):
        providers("cuda", BUILT_WITHOUT)


def test_a_session_that_fell_back_is_no_gpu(network_bundle: Path) -> None:
    session = onnxruntime.InferenceSession(
        str(network_bundle / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    assert device_of(session, "auto") == "cpu"
    with pytest.raises(DeviceMissing, match=messages.DEVICE_FELL_BACK):
        device_of(session, "cuda")


def test_where_there_is_no_gpu_auto_computes_like_cpu(network: Classifier, tfidf: Classifier) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        # On a machine with a GPU: whatever the device, the golden texts get their probabilities, or loading fails.
        assert load_fastest(network.folder, device="auto").classifier.device in ("cpu", "cuda")
        return
    texts = bbc_part(2)[0][:3]
    # Classical models have no choice, and are not refused for it.
    assert Classifier.load(tfidf.folder, device="cuda").device == "cpu"
    found = load_fastest(network.folder, device="auto").classifier
    assert found.device == "cpu"
    np.testing.assert_array_equal(found.predict(texts), network.predict(texts))
    with pytest.raises(DeviceMissing, match=messages.DEVICE_KIND_UNSUITABLE):
        Classifier.load(network.folder, device="cuda")
