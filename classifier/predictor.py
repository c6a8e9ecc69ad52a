"""`Classifier`: a bundle in memory, ready to predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from classifier.batches import DEFAULT_BATCH_TOKENS, cut_batches
from classifier.description import Description
from classifier.device import Device
from classifier.errors import GoldenMismatch, PredictionFailed, bundle_faults
from classifier.golden import compare_golden, read_golden
from classifier.manifest import verify_manifest
from classifier.runtime import Encoded, Model, Probabilities, RuntimeOptions, load_model, softmax
from classifier.signing import SigningKeys


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the model says of n texts, in their order."""

    probabilities: Probabilities
    """(n, labels) float32, columns in the order of `Classifier.labels`; each row sums to 1."""
    tokens: list[int]
    """Tokens of each whole text, before any cut."""
    truncated: list[bool]
    """Whether the model read less than the whole text."""
    stages: NDArray[np.int64]
    """(n,) index in `Classifier.stages` of the stage that answered; 0 for a model without stages."""


class Classifier:
    """A trained text classifier. Thread-safe; holds no state between calls.

    Usage::

        classifier = Classifier.load(folder, signing_key=key)   # verified and golden-checked
        classifier.predict(texts)                               # (n, labels) float32
        encoded = classifier.encode(texts)                      # or in two steps, so that a server
        classifier.infer(encoded)                               # can batch between them
    """

    def __init__(
        self,
        description: Description,
        model: Model,
        *,
        folder: Path,
        manifest: dict[str, Any],
        sealed_file: str | None = None,
    ) -> None:
        self.description = description
        self.sealed_file = sealed_file or description.model_file
        """The file that the bundle says is run, whose probabilities `golden.json` holds; this may be another one."""
        self.folder = folder
        self.manifest = manifest
        self._model = model

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        signing_key: str | SigningKeys | None = None,
        threads: int | None = None,
        verify: bool = True,
        golden: bool = True,
        model_file: str | None = None,
        device: Device = "cpu",
    ) -> Classifier:
        """Load a bundle.

        Args:
            folder: the bundle.
            signing_key: refuse a bundle whose manifest is signed by none of these keys (a text: by this secret).
            threads: threads of one inference; None lets the runtime take every core.
            verify: False skips hashes and golden texts, for a bundle that is still being made.
            golden: False leaves `check_golden` to the caller.
            model_file: another file of the bundle to run than its description says, such as `model.int8.onnx`.
            device: where a network computes; `auto`: on a GPU where ONNX Runtime can. Classical models have no choice.

        Raises:
            BundleError: missing, damaged, unknown, untrusted, or not computing what it should; names the file.
            DeviceMissing: `cuda` is requested, and not available.
        """
        folder = Path(folder)
        with bundle_faults(folder):
            manifest = verify_manifest(folder, signing_key=signing_key) if verify else {}
            description = Description.read(folder)
            sealed_file = description.model_file
            if model_file is not None:
                changed = {**description.model_dump(), "model_file": model_file}
                description = Description.model_validate(changed)
            classifier = cls(
                description,
                load_model(folder, description, RuntimeOptions(threads, device)),
                folder=folder,
                manifest=manifest,
                sealed_file=sealed_file,
            )
            if verify and golden:
                classifier.check_golden()
        return classifier

    def beside(self, model_file: str, *, threads: int | None = None, device: Device = "cpu") -> Classifier:
        """The same bundle run by another of its files, such as `model.int8.onnx`; as verified as this one.

        Raises:
            BundleError: the file is missing, or no model that can be run.
            DeviceMissing: `cuda` is requested, and not available.
        """
        description = Description.model_validate({**self.description.model_dump(), "model_file": model_file})
        return Classifier(
            description,
            load_model(self.folder, description, RuntimeOptions(threads, device)),
            folder=self.folder,
            manifest=self.manifest,
            sealed_file=self.sealed_file,
        )

    @property
    def _model_path(self) -> Path:
        return self.folder / self.description.model_file

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in the order of the probability columns."""
        return self.description.labels

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where it computes."""
        return self._model.device

    @property
    def max_length(self) -> int | None:
        """Tokens that the model reads; None when it reads everything."""
        return self.description.max_length

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages of a cascade, the cheapest first; empty for every other model."""
        return self._model.stages

    def encode(self, texts: Sequence[str], *, all_stages: bool = False) -> list[Encoded]:
        """Prepare texts, in order, cleaned as the description says; tokenising leaves the interpreter lock free.

        The first stage of a cascade answers here what it is sure of (`Encoded.answered`), unless `all_stages`.
        """
        cleaning = self.description.clean
        if cleaning is None:
            return self._model.encode(texts, all_stages=all_stages)
        cleaned = [cleaning.apply(text) for text in texts]
        return [
            replace(item, text=text, cleaned=item.text)
            for text, item in zip(texts, self._model.encode(cleaned, all_stages=all_stages), strict=True)
        ]

    def relaxed(self, encoded: Sequence[Encoded], max_accuracy_loss: float) -> list[Encoded]:
        """What `encode` gave, with more texts answered by the first stage of a cascade.

        Args:
            encoded: what `encode` gave.
            max_accuracy_loss: limit of the accuracy lost against sending every text through all stages. Without
                thresholds in the bundle for this limit or a lower one, nothing changes.
        """
        return self._model.relaxed(encoded, max_accuracy_loss)

    def infer(self, batch: Sequence[Encoded], *, exclusive: bool = True) -> Probabilities:
        """Run one batch; (n, labels) float32. See `infer_staged`."""
        return self.infer_staged(batch, exclusive=exclusive)[0]

    def infer_staged(
        self, batch: Sequence[Encoded], *, exclusive: bool = True
    ) -> tuple[Probabilities, NDArray[np.int64]]:
        """Run one batch as it is, padded to its longest text.

        Args:
            batch: what `encode` gave.
            exclusive: whether it may use every thread; False for a batch that runs beside others.

        Returns:
            Probabilities, (n, labels) float32, and the index in `stages` of the stage that answered each text, (n,).

        Raises:
            PredictionFailed: the runtime could not run it, or gave something that is no logits of these labels.
        """
        expected = (len(batch), len(self.labels))
        if not batch:
            return np.zeros(expected, dtype=np.float32), np.zeros(0, dtype=np.int64)
        logits, stages = self._model.staged_logits(batch, exclusive=exclusive)
        if logits.shape != expected:
            raise PredictionFailed(
                f"{self._model_path} gives outputs of shape {logits.shape} where {expected} (texts, labels) is due"
            )
        if not np.isfinite(logits).all():
            raise PredictionFailed(
                f"{self._model_path} gives NaN or infinity for a batch of {len(batch)} texts"
            )
        return softmax(logits, self.description.temperature), stages

    def predict(
        self,
        texts: Sequence[str],
        *,
        batch_tokens: int = DEFAULT_BATCH_TOKENS,
        all_stages: bool = False,
    ) -> Probabilities:
        """Probabilities of texts; (n, labels) float32, rows in the order of `texts`. See `classify`."""
        return self.classify(texts, batch_tokens=batch_tokens, all_stages=all_stages).probabilities

    def classify(
        self,
        texts: Sequence[str],
        *,
        batch_tokens: int = DEFAULT_BATCH_TOKENS,
        all_stages: bool = False,
    ) -> Predictions:
        """Probabilities with token counts.

        Args:
            texts: the texts.
            batch_tokens: padded tokens of one batch, which holds texts of like length.
            all_stages: whether a cascade sends every text through all stages.
        """
        encoded = self.encode(texts, all_stages=all_stages)
        probabilities = np.zeros((len(encoded), len(self.labels)), dtype=np.float32)
        stages = np.zeros(len(encoded), dtype=np.int64)
        # Nothing is left to compute for what an early stage answered, so that its batch has no limit.
        early = [index for index, item in enumerate(encoded) if item.answered]
        rest = [index for index, item in enumerate(encoded) if not item.answered]
        batches = cut_batches([encoded[index].cost for index in rest], batch_tokens)
        for batch in [early, *([rest[index] for index in places] for places in batches)]:
            probabilities[batch], stages[batch] = self.infer_staged([encoded[index] for index in batch])
        return Predictions(
            probabilities,
            [item.tokens for item in encoded],
            [item.truncated for item in encoded],
            stages,
        )

    def check_golden(self) -> None:
        """Raise GoldenMismatch unless the golden texts get their probabilities."""
        texts, expected, tolerance = read_golden(self.folder)
        try:
            found = self.predict(texts)
        except PredictionFailed as error:
            raise GoldenMismatch(
                f"the golden texts of {self.folder} cannot be classified: {error}"
            ) from error
        compare_golden(self.folder, found, expected, tolerance)
