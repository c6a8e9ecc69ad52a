"""Saves the weights as MLflow's transformers flavour, for `mlflow models serve`: `python … FOLDER`."""

from __future__ import annotations

import os
import sys


def main(folder: str) -> None:
    """Save the pipeline's parts in `folder`."""
    import mlflow
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    weights, length = os.environ["WEIGHTS"], int(os.environ["MAX_LENGTH"])
    tokenizer = AutoTokenizer.from_pretrained(weights, model_max_length=length)
    network = AutoModelForSequenceClassification.from_pretrained(weights)
    mlflow.transformers.save_model(
        pipeline("text-classification", model=network, tokenizer=tokenizer, device="cpu"),
        path=folder,
        # Inferring them takes long and wants packages that text does not need.
        pip_requirements=["torch", "transformers"],
    )


if __name__ == "__main__":
    main(sys.argv[1])
