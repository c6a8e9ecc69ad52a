"""Static token vectors: what a network says of each token by itself, for models that run no network.

In the manner of model2vec (Tulkens and van Dongen 2024, https://github.com/MinishLab/model2vec): each token of the
vocabulary passes through the network alone, the outputs are reduced by principal components, and each vector is
weighted by how rare its token is (SIF, Arora et al. 2017, *A Simple but Tough-to-Beat Baseline for Sentence
Embeddings*).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from training.models.pooling import embeddings, mean_pooled

_BATCH = 512
_SIF = 1e-3
"""Tokens that make up more than about this share of the texts weigh less."""


def token_vectors(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    width: int,
    cache: Path | None = None,
    advance: Callable[[int], object] | None = None,
) -> NDArray[np.float32]:
    """One vector for each token, (tokens, width), by decreasing variance.

    Args:
        network: any encoder; its head is not used.
        tokenizer: its tokenizer.
        width: principal components that are kept, at most the network's width.
        cache: folder in which the vectors of these very weights are kept; None: none.
        advance: called with the number of tokens of each batch.
    """
    path = cache / f"static-{_fingerprint(network, width)}.npy" if cache is not None else None
    if path is not None and path.is_file():
        kept: NDArray[np.float32] = np.load(path, allow_pickle=False)
        return kept
    outputs = _outputs(network, tokenizer, advance)
    centred = outputs - outputs.mean(axis=0)
    # Of the covariance, which is as small as the network is wide.
    _, directions = np.linalg.eigh(centred.T.astype(np.float64) @ centred.astype(np.float64))
    vectors: NDArray[np.float32] = (centred @ directions[:, ::-1][:, :width]).astype(np.float32)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{id(vectors)}.part")
        with part.open("wb") as file:
            np.save(file, vectors)
        part.replace(path)
    return vectors


def rarity(ids: Iterable[Iterable[int]], tokens: int) -> NDArray[np.float32]:
    """SIF weight a / (a + p) of each token, (tokens,), with its share p of all tokens of the texts in `ids`.

    A token that no text holds counts as half a token.
    """
    counts = Counter(token for text in ids for token in text)
    shares = np.full(tokens, 0.5)
    for token, count in counts.items():
        shares[token] = count
    shares /= max(1, counts.total())
    weights: NDArray[np.float32] = (_SIF / (_SIF + shares)).astype(np.float32)
    return weights


@torch.inference_mode()
def _outputs(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, advance: Callable[[int], object] | None
) -> NDArray[np.float32]:
    encoder = mean_pooled(network)
    encoder.train(False)
    encoder.to(network.device)  # type: ignore[arg-type]
    # Special tokens around one token, as around any text.
    plain, template = tokenizer("a", add_special_tokens=False)["input_ids"], tokenizer("a")["input_ids"]
    place = template.index(plain[0])
    before, after = template[:place], template[place + len(plain) :]
    found = []
    for start in range(0, len(tokenizer), _BATCH):
        tokens = range(start, min(start + _BATCH, len(tokenizer)))
        ids = torch.tensor([[*before, token, *after] for token in tokens])
        batch = {
            "input_ids": ids.to(network.device),
            "attention_mask": torch.ones_like(ids).to(network.device),
        }
        found.append(embeddings(encoder, batch).float().cpu().numpy())
        if advance is not None:
            advance(len(tokens))
    return np.concatenate(found)


def _fingerprint(network: PreTrainedModel, width: int) -> str:
    digest = hashlib.sha256(str(width).encode())
    for name, tensor in sorted(network.base_model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
