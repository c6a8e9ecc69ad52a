"""Where a network computes: on the processor, or on an NVIDIA GPU where the installed ONNX Runtime can use one.

The package `onnxruntime` computes on the processor only. `onnxruntime-gpu`, installed in its place, brings CUDA;
nothing else of this repository changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from classifier.errors import DeviceMissing

if TYPE_CHECKING:
    import onnxruntime

Device = Literal["auto", "cpu", "cuda"]
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_EXACT = {"use_tf32": "0"}
"""Without TensorFloat-32, which keeps 10 bits of a float32's 23: golden texts get their probabilities on any device."""


def providers(device: Device, offered: Sequence[str]) -> list[str | tuple[str, dict[str, str]]]:
    """The execution providers that a session is to have, the preferred one first, of those that ONNX Runtime offers.

    Raises:
        DeviceMissing: `cuda` is requested, and the installed ONNX Runtime was built without it.
    """
    if device == "cuda" and _CUDA not in offered:
        import onnxruntime  # monitoring reads bundles and runs none

        raise DeviceMissing(
            f"the device cuda is asked for, and ONNX Runtime {onnxruntime.__version__} as installed here offers "
            f"{', '.join(offered)}: install onnxruntime-gpu in its place, or ask for cpu or auto"
        )
    return [(_CUDA, _EXACT), _CPU] if device != "cpu" and _CUDA in offered else [_CPU]


def device_of(session: onnxruntime.InferenceSession, asked: Device) -> Literal["cpu", "cuda"]:
    """Where `session` computes; a build for CUDA falls back to the processor where it finds no GPU.

    Raises:
        DeviceMissing: `cuda` was asked for, and the session fell back.
    """
    found: Literal["cpu", "cuda"] = "cuda" if _CUDA in session.get_providers() else "cpu"
    if asked == "cuda" and found == "cpu":
        raise DeviceMissing(
            "the device cuda is asked for, and ONNX Runtime fell back to the processor: it found no GPU, no driver, "
            "or no CUDA and cuDNN of its versions; its own message on stderr says which. Or ask for cpu or auto"
        )
    return found
