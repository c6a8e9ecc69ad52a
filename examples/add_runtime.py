"""Add a runtime, keywords that vote for a label, then seal a bundle of that kind and classify with it.

`python -m examples.add_runtime` does so in a temporary folder. To serve such bundles, put the class into a file in
`classifier/runtimes/`; nothing else has to be edited: `Classifier.load`, the service, batch scoring, `mlflow models
serve` and the gate run it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from classifier import Description, seal_bundle
from classifier.errors import BundleDamaged
from classifier.runtime import Encoded, Logits, Model, RuntimeOptions, register_runtime


@register_runtime("keywords")
class KeywordModel(Model):
    """Each word of a text that is a keyword adds 1 to the logit of its label."""

    def __init__(self, keywords: Mapping[str, str], labels: Sequence[str]) -> None:
        """`keywords` maps a word to a label."""
        self._columns = {word: labels.index(label) for word, label in keywords.items()}
        self._labels = len(labels)

    @classmethod
    def load(cls, folder: Path, description: Description, options: RuntimeOptions) -> KeywordModel:  # noqa: ARG003
        """Read the JSON file of keywords."""
        path = folder / description.model_file
        try:
            return cls(json.loads(path.read_text(encoding="utf-8")), description.labels)
        except (OSError, ValueError) as error:
            raise BundleDamaged(f"{path} is not a file of keywords: {error}") from None

    def encode(self, texts: Sequence[str], *, all_stages: bool = False) -> list[Encoded]:  # noqa: ARG002
        """Count words."""
        return [Encoded(text, (), len(text.split()), truncated=False) for text in texts]

    def logits(self, batch: Sequence[Encoded], *, exclusive: bool = True) -> Logits:  # noqa: ARG002
        """Keywords of each label in each text, (n, labels)."""
        found = np.zeros((len(batch), self._labels), dtype=np.float32)
        for row, item in enumerate(batch):
            for word in item.read.lower().split():
                if word in self._columns:
                    found[row, self._columns[word]] += 1
        return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "keywords.json").write_text(
            '{"goal": "sport", "shares": "business"}', encoding="utf-8"
        )
        description = Description(kind="keywords", model_file="keywords.json", labels=("business", "sport"))
        classifier = seal_bundle(Path(folder), description, golden_texts=["a goal"], data={})
        print(
            dict(zip(classifier.labels, classifier.predict(["Shares rose again"])[0].tolist(), strict=True))
        )
