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
# # 0 · Set-up
#
# These lessons walk through the training room of the project, from a text to a champion. They import the
# project's own code: what you run here is what `python -m training run` runs.
#
# | lesson | what it is about |
# |---|---|
# | 0 | what is installed, and where things are kept |
# | 1 | data: reading, checking, splitting, tokenising |
# | 2 | fine-tuning a network with transformers' Trainer |
# | 3 | following a training: callbacks and metrics |
# | 4 | Adversarial Weight Perturbation |
# | 5 | Mixout |
# | 6 | gradient accumulation, and what to do when memory runs out |
# | 7 | everything together: an experiment, the gate, the registry |
#
# Nothing here needs the internet: the texts (BBC News) and the weights (MiniLM) come with packages.

# %%
import os
import warnings

from stores.telemetry import turn_telemetry_off

turn_telemetry_off()  # before anything is imported that would phone home
os.environ["TRANSFORMERS_VERBOSITY"] = "error"  # that the head of the network is new is known
warnings.simplefilter("ignore")  # those of libraries

# %%
from importlib.metadata import version

for package in ("torch", "transformers", "datasets", "mlflow", "scikit-learn", "onnxruntime"):
    print(f"{package:>14} {version(package)}")

# %% [markdown]
# State of every kind (models, runs, reports) lives in one folder. `VAR_DIR` moves it; these lessons use a folder
# of their own, so that no lesson touches your champion.

# %%
import tempfile
from pathlib import Path

from stores.settings import TrackingSettings

home = tempfile.TemporaryDirectory(prefix="lesson-")  # goes when the kernel ends
folder = Path(home.name)
settings = TrackingSettings(var_dir=folder)
print("runs and models:", settings.tracking_uri.replace(str(folder), "$VAR_DIR"))

# %% [markdown]
# Does the machine have an accelerator? Training uses it where there is one, and bfloat16 where it can.

# %%
import torch

if torch.cuda.is_available():
    print(torch.cuda.get_device_name(), "bfloat16:", torch.cuda.is_bf16_supported())
else:
    print(f"no GPU; {torch.get_num_threads()} threads of the processor")

# %% [markdown]
# The experiments that come with the project. Each is one YAML file, and each of its keys is explained where it is
# declared.

# %%
from rich.console import Console
from rich.table import Table
from training.experiment.loader import experiment_files, load_experiment

table = Table("experiment", "candidates")
for file in experiment_files():
    experiment = load_experiment(file.stem)
    table.add_row(experiment.name, ", ".join(experiment.candidates))
Console(width=100).print(table)

# %% [markdown]
# The network that most lessons fine-tune: MiniLM, with a new head of one output a label.

# %%
from training.models.weights import load_network

network, tokenizer = load_network("all-minilm-l6-v2", ("business", "sports"), layers=None)
parameters = sum(parameter.numel() for parameter in network.parameters())
shape = network.config
print(f"{shape.num_hidden_layers} layers of width {shape.hidden_size}")
print(f"{parameters / 1e6:.1f} M parameters")

# %%
assert parameters > 20e6
