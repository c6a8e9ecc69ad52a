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
# # 2 · Fine-tuning with the Trainer
#
# A pretrained network knows language; it does not know your labels. Fine-tuning gives it a new head and changes
# all of its weights a little, so that the head can do its work.

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
from training.data import DataConfig, load_data, split_data

data = DataConfig(source="bbc_news", limit=120 if SMOKE else 600)
splits = split_data(load_data(data, seed=42), data, seed=42)
print(len(splits.train), "texts to learn from")
print(len(splits.validation), "texts to choose by")
print(len(splits.test), "test texts")

# %% [markdown]
# What is trained, and how, is a configuration. Every field has a meaning and a default; a field that does not
# exist is refused.

# %%
from training.config.network import NetworkConfig

config = NetworkConfig(
    weights="all-minilm-l6-v2",
    layers=2 if SMOKE else 6,
    max_length=32 if SMOKE else 128,
    epochs=1 if SMOKE else 2,
    learning_rate=2e-4,
    batch_size=8,
)
print(NetworkConfig.model_fields["warmup"].default, "of the steps are warm-up")

# %% [markdown]
# `train_network` does what a run does for each candidate: load the weights, fine-tune, keep the weights of the
# best epoch on the validation part, export the network to ONNX, and show that the exported one computes the same.

# %%
from rich.progress import Progress
from training.candidates.transformer import train_network
from training.models.result import TrainingContext

context = TrainingContext(
    "lesson", folder / "bundle", folder / "scratch", seed=42, progress=Progress(disable=True)
)
context.bundle.mkdir(parents=True)
trained = train_network(config, splits, context)
for epoch in trained.history.epochs:
    print({name: round(value, 3) for name, value in epoch.items()})
difference = trained.figures["parity_difference"]
print(f"largest difference of a probability between torch and ONNX: {difference:.1e}")

# %% [markdown]
# The bundle in the making: a network, its tokenizer, and soon how to run them. No torch is needed from here on.

# %%
for path in sorted(context.bundle.iterdir()):
    print(f"{path.stat().st_size / 1e6:8.2f} MB  {path.name}")

# %% [markdown]
# ## Judging
#
# The candidate is evaluated through those files, by the classifier that will serve them. First its temperature is
# fitted on the *validation* part, so that a probability of 0.9 is right nine times in ten; then it meets the
# *test* part, which no choice has seen. Each figure comes with an interval: on so few texts the interval is the
# message.

# %%
from training.config.evaluation import GateConfig
from training.evaluation.candidate import evaluate_candidate

evaluated = evaluate_candidate(
    "lesson", trained, splits, context.bundle, folder / "pictures", GateConfig(), seed=42
)
for name, interval in evaluated.test.headlines.items():
    print(f"{name:>18} {interval}")

# %%
from IPython.display import Image, display

for picture in ("loss.png", "metrics_over_time.png", "confusion_matrix.png", "reliability.png"):
    display(Image(filename=str(folder / "pictures" / picture), width=620))

# %% [markdown]
# And this is how it will be asked:

# %%
from classifier import Classifier

classifier = Classifier.load(context.bundle, verify=False)
text = "The striker scored twice in the cup final."
(probabilities,) = classifier.predict([text])
for column in probabilities.argsort()[::-1]:
    print(f"{probabilities[column]:.3f} {classifier.labels[column]}")

# %%
assert (
    evaluated.test.macro_f1.low <= evaluated.test.macro_f1.value <= evaluated.test.macro_f1.high
)
assert trained.figures["parity_difference"] < config.parity_tolerance
