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
# # 5 · Mixout
#
# A pretrained network knows much, and few texts are enough to make it forget. Weight decay pulls the weights
# towards zero, where no knowledge is. *Mixout* (Lee, Cho, Kang 2020,
# [arXiv:1909.11299](https://arxiv.org/abs/1909.11299)) pulls them towards where they came from: in each pass,
# every weight is with probability *p* the pretrained one.
#
# Dropout does the same with zero in place of the pretrained weights.

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

# %% [markdown]
# ## The formula
#
# What is dropped is the distance travelled, `w − u`; what is kept is scaled up, so that the expectation stays
# `w`.

# %%
import torch
from training.regularizers.mixout import mixout

torch.manual_seed(0)
pretrained, weight = torch.zeros(10), torch.ones(10)
print(
    "one draw:        ", [round(float(value), 2) for value in mixout(weight, pretrained, p=0.7)]
)
mean = torch.stack([mixout(weight, pretrained, p=0.7) for _ in range(4000)]).mean(dim=0)
print("mean of 4,000:   ", [round(float(value), 2) for value in mean])
print("outside training:", mixout(weight, pretrained, p=0.7, training=False).tolist())

# %%
assert torch.allclose(mean, weight, atol=0.15)
assert torch.equal(mixout(weight, pretrained, p=0.0), weight)

# %% [markdown]
# ## In a network
#
# Within the block, the linear layers of the body mix out. The head is new and has nothing to mix with. After the
# block they are plain layers again, with the same names in the state dict, so that checkpoints and the export
# notice nothing.

# %%
from training.models.weights import load_network
from training.regularizers.mixout import apply_mixout

network, tokenizer = load_network("all-minilm-l6-v2", ("business", "sports"), layers=1)
names = set(network.state_dict())
with apply_mixout(network, p=0.7, concerns=lambda name: name.startswith("bert.")) as mixing:
    print(len(mixing), "layers mix out, such as", mixing[0])
    print(network.get_submodule(mixing[0]))
    assert set(network.state_dict()) == names
print(network.get_submodule(mixing[0]))

# %% [markdown]
# ## How far the weights travel
#
# The same training with and without it; then measure how far the body has gone from the pretrained weights.

# %%
from rich.progress import Progress
from training.config.finetuning import MixoutConfig
from training.config.network import NetworkConfig
from training.data import DataConfig, load_data, split_data
from training.finetuning.loop import finetune
from training.models.result import TrainingContext

data = DataConfig(source="bbc_news", limit=120 if SMOKE else 400)
splits = split_data(load_data(data, seed=42), data, seed=42)


def travelled(mixing: MixoutConfig | None) -> tuple[float, float]:
    """Relative distance of the body from where it started, and the best macro-F1 on the validation part."""
    config = NetworkConfig(
        layers=1 if SMOKE else 3,
        max_length=24 if SMOKE else 96,
        epochs=2,
        learning_rate=2e-4,
        batch_size=8,
        mixout=mixing,
    )
    torch.manual_seed(42)
    network, tokenizer = load_network(config.weights, splits.labels, config.layers)
    start = {name: value.clone() for name, value in network.bert.named_parameters()}
    scratch = folder / ("mixout" if mixing else "plain")
    place = TrainingContext(
        scratch.name, scratch / "bundle", scratch, 42, Progress(disable=True)
    )
    history = finetune(network, tokenizer, config, splits, place)
    gone = sum(
        float((value - start[name]).square().sum())
        for name, value in network.bert.named_parameters()
    )
    size = sum(float(value.square().sum()) for value in start.values())
    return (gone / size) ** 0.5, max(epoch["macro_f1"] for epoch in history.epochs)


for name, mixing in {"plain": None, "mixout": MixoutConfig(p=0.7)}.items():
    distance, f1 = travelled(mixing)
    print(f"{name:>7}: {distance:.4f} of the way's length travelled, macro-F1 {f1:.3f}")

# %% [markdown]
# On one seed a difference in F1 means nothing. `python -m training compare regularisers --seeds 5 --against plain`
# trains each with five.

# %%
assert distance > 0
