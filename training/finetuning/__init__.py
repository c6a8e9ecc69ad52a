"""Fine-tuning a pretrained network, by transformers' Trainer.

The story in file names: `encoding` turns texts into what the network reads, `sampling` orders them; `strategies` says
what a training may be given (loss, groups of parameters, regularisers), `regularising` reads that from a configuration,
and `trainer` has the places for it; `arguments` and `metrics` are its settings and figures; `following` tells others
how far it is; `attempts` does it.
"""

from training.finetuning.attempts import finetune
from training.finetuning.strategies import Batch, Loss, ParameterGroups, Regulariser, Strategies

__all__ = ["Batch", "Loss", "ParameterGroups", "Regulariser", "Strategies", "finetune"]
