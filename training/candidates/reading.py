"""How much of a text each network of an experiment reads, known before it is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training.candidates.config import NetworkConfig
from training.candidates.kinds import Candidate
from training.data.checks.content import Reader


def readers_of(candidates: Mapping[str, Candidate]) -> dict[str, Reader]:
    """Network → its reader; without those whose tokenizer cannot be loaded, which fail by themselves later."""
    networks = {name: item for name, item in candidates.items() if isinstance(item, NetworkConfig)}
    if not networks:
        return {}
    from transformers import AutoTokenizer  # takes seconds to import

    from training.candidates.weights import weights_source

    tokenizers = {}
    for weights in {item.weights for item in networks.values()}:
        try:
            tokenizers[weights] = AutoTokenizer.from_pretrained(weights_source(weights), use_fast=True)
        except Exception:  # whatever is wrong with it, the candidate itself says it better
            continue

    def reader(config: NetworkConfig) -> Reader:
        tokenizer = tokenizers[config.weights]

        def count(texts: Sequence[str]) -> list[int]:
            # `verbose=False`: it warns of texts longer than its model reads, which is what is counted.
            return [len(ids) for ids in tokenizer(list(texts), verbose=False)["input_ids"]]

        return Reader(config.max_length, count)

    return {name: reader(config) for name, config in networks.items() if config.weights in tokenizers}
