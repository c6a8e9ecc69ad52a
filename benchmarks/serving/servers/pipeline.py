"""What all of them serve: transformers' pipeline over the weights in the folder WEIGHTS."""

from __future__ import annotations

import os
from typing import Any


def make_pipeline() -> Any:
    """A text-classification pipeline that gives every label and cuts texts where the network was trained to."""
    import torch
    from transformers import pipeline

    torch.set_num_threads(int(os.environ["THREADS"]))
    classify = pipeline("text-classification", model=os.environ["WEIGHTS"], top_k=None, device="cpu")
    length = int(os.environ["MAX_LENGTH"])
    return lambda texts: classify(texts, truncation=True, max_length=length)
