# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 · Callbacks and metrics
#
# A training takes minutes or days, and nobody should have to wait for its end to know how it goes. transformers'
# Trainer calls *callbacks* at every step, log and evaluation; the project's own follow each training into MLflow,
# into the history that pictures are drawn from, and into a progress bar.

# %%
import os
import tempfile
import warnings
from pathlib import Path

from stores.telemetry import turn_telemetry_off

turn_telemetry_off()
os.environ["TRANSFORMERS_VERBOSITY"] = "error"  # that the head of the network is new is known
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
warnings.simplefilter("ignore")  # those of libraries
SMOKE = bool(os.environ.get("NOTEBOOKS_SMOKE"))
home = tempfile.TemporaryDirectory(prefix="lesson-")  # goes when the kernel ends
os.environ["VAR_DIR"] = home.name
folder = Path(home.name)

# %%
from rich.progress import Progress
from training.config.network import NetworkConfig
from training.data import DataConfig, load_data, split_data
from training.models.result import TrainingContext
from training.models.weights import load_network

data = DataConfig(source="bbc_news", limit=120 if SMOKE else 600)
splits = split_data(load_data(data, seed=42), data, seed=42)
config = NetworkConfig(
    layers=1 if SMOKE else 3,
    max_length=24 if SMOKE else 128,
    epochs=2,
    learning_rate=2e-4,
    batch_size=8,
)

# %% [markdown]
# ## What an evaluation measures
#
# Accuracy counts right answers. Where one class has most of the texts, a network that always names that class is
# accurate and useless; the *macro* means give every class the same weight, however few its texts.

# %%
import numpy as np
from training.finetuning.trainer import compute_metrics
from transformers import EvalPrediction

truth = np.array([0] * 90 + [1] * 10)
always_the_first = np.tile([1.0, 0.0], (100, 1))
skewed = compute_metrics(EvalPrediction(predictions=always_the_first, label_ids=truth))
print({name: round(value, 3) for name, value in skewed.items()})
assert skewed["accuracy"] > 0.85 > 0.6 > skewed["macro_f1"]

# %% [markdown]
# ## A callback of your own
#
# A callback is a class with a method for each event that interests it. This one watches how large the gradients
# are: if they grow without bound the learning rate is too high, if they vanish nothing is learned any more.

# %%
from transformers import TrainerCallback


class GradientWatch(TrainerCallback):
    """Keeps the norm of the gradients at every log."""

    def __init__(self) -> None:
        self.norms: list[tuple[int, float]] = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Called when the Trainer logs."""
        if logs and "grad_norm" in logs:
            self.norms.append((state.global_step, float(logs["grad_norm"])))


# %%
import torch
from training.finetuning.loop import finetune
from transformers.utils import logging as transformers_logging

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()
torch.manual_seed(42)
network, tokenizer = load_network(config.weights, splits.labels, config.layers)
context = TrainingContext(
    "lesson", folder / "bundle", folder / "scratch", seed=42, progress=Progress(disable=True)
)
watch = GradientWatch()
history = finetune(network, tokenizer, config, splits, context, callbacks=[watch])

# %%
for step, norm in watch.norms:
    print(f"step {step:>3}: {'#' * min(60, int(10 * norm))} {norm:.2f}")
assert watch.norms

# %% [markdown]
# ## What the project's callbacks keep
#
# The same figures go into the active MLflow run, step by step, and stay there with the model.

# %%
from IPython.display import Image, display
from training.evaluation.plots import draw_training

for epoch in history.epochs:
    print({name: round(value, 3) for name, value in epoch.items()})
for picture in draw_training(history, folder / "pictures", name="two epochs"):
    display(Image(filename=str(picture), width=460))

# %%
assert len(history.epochs) == 2
assert {"accuracy", "macro_f1", "macro_precision", "macro_recall"} <= set(history.epochs[0])
