"""A network: ONNX Runtime and a fast tokenizer, with padding to the longest text of each batch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from classifier.description import Description
from classifier.device import Device, device_of, providers
from classifier.errors import BundleDamaged, BundleIncomplete, PredictionFailed
from classifier.runtime import Encoded, Model, RuntimeOptions, register_runtime

TOKENIZER_FILE = "tokenizer.json"
_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}


@register_runtime("onnx")
class NetworkModel(Model):
    """A network, `model.onnx`, and its fast tokenizer, `tokenizer.json`."""

    packages = ("onnxruntime", "tokenizers")
    library = "onnxruntime"

    def __init__(
        self, folder: Path, description: Description, threads: int | None, device: Device = "cpu"
    ) -> None:
        self.tokenizer = load_tokenizer(folder / TOKENIZER_FILE)
        self._path = folder / description.model_file
        self._threads = threads
        self._session = _load_session(self._path, threads, device)
        self._lock = threading.Lock()
        self.device = device_of(self._session, device)
        self._inputs = {tensor.name for tensor in self._session.get_inputs()}
        if unknown := sorted(self._inputs - _INPUTS):
            raise BundleDamaged(f"{self._path} wants the input {unknown[0]!r}; known are {sorted(_INPUTS)}")
        self._special_tokens = self.tokenizer.num_special_tokens_to_add(is_pair=False)
        # A network without a stated maximum would read texts longer than its position table.
        self._max_length = description.max_length or 512
        # Any token does: padded places are masked, and the export was shown to answer like the trained network.
        padding = [self.tokenizer.token_to_id(name) for name in ("[PAD]", "<pad>")]
        self._pad_id = next((token for token in padding if token is not None), 0)

    @classmethod
    def load(cls, folder: Path, description: Description, options: RuntimeOptions) -> NetworkModel:
        """See `Model.load`."""
        return cls(folder, description, options.threads, options.device)

    def encode(self, texts: Sequence[str], *, all_stages: bool = False) -> list[Encoded]:  # noqa: ARG002
        """Tokenise; texts longer than the maximum are cut after counting, so that the count includes what was cut."""
        return [self.encoded(text, whole) for text, whole in zip(texts, self.tokenize(texts), strict=True)]

    def tokenize(self, texts: Sequence[str]) -> list[Encoding]:
        """Whole texts as tokens, without special ones."""
        found: list[Encoding] = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return found

    def encoded(self, text: str, whole: Encoding) -> Encoded:
        """A tokenised text as the network reads it; `whole` may be cut."""
        tokens = len(whole) + self._special_tokens
        truncated = tokens > self._max_length
        if truncated:
            whole.truncate(self._max_length - self._special_tokens)
        ids = self.tokenizer.post_process(whole, add_special_tokens=True).ids
        return Encoded(text, tuple(ids), tokens, truncated)

    def logits(self, batch: Sequence[Encoded], *, exclusive: bool = True) -> NDArray[np.float32]:
        """One forward pass over the padded batch."""
        session = self._session if exclusive else self._one_thread()
        width = max(len(item.ids) for item in batch)
        ids = np.full((len(batch), width), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(batch), width), dtype=np.int64)
        for row, item in enumerate(batch):
            ids[row, : len(item.ids)] = item.ids
            mask[row, : len(item.ids)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        try:
            outputs = session.run(None, {name: feeds[name] for name in self._inputs})
        except Exception as error:  # ONNX Runtime raises many types, none of them public
            raise PredictionFailed(
                f"ONNX Runtime failed on {len(batch)} texts of up to {width} tokens: {error}"
            ) from error
        logits: NDArray[np.float32] = np.asarray(outputs[0], dtype=np.float32)
        return logits

    def _one_thread(self) -> onnxruntime.InferenceSession:
        """The same network for one thread, loaded when it is first needed: only a server runs batches side by side."""
        with self._lock:
            return self._narrow

    @cached_property
    def _narrow(self) -> onnxruntime.InferenceSession:
        if self._threads == 1 or self.device == "cuda":
            return self._session
        return _load_session(self._path, 1, "cpu")


def load_tokenizer(path: Path) -> Tokenizer:
    """A fast tokenizer that neither pads nor truncates.

    Raises:
        BundleIncomplete: the file is missing.
        BundleDamaged: it is no tokenizer.
    """
    if not path.is_file():
        raise BundleIncomplete(f"{path} is missing")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise BundleDamaged(f"{path} is not a tokenizer: {error}") from None
    # A tokenizer.json may set padding and truncation; here the batch decides.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _load_session(path: Path, threads: int | None, device: Device) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise BundleIncomplete(f"{path} is missing")
    options = onnxruntime.SessionOptions()
    if threads:
        options.intra_op_num_threads = threads
    # Waiting threads would else spin on the core that tokenising, HTTP and other processes need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    preferred = providers(device, onnxruntime.get_available_providers())
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=preferred)
    except Exception as error:  # see NetworkModel.logits
        raise BundleDamaged(f"{path} is not a model that ONNX Runtime can run: {error}") from None
