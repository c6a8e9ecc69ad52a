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
# # 4 · Adversarial Weight Perturbation
#
# Two minima can have the same training loss and differ in what lies around them. In a *sharp* one the loss rises
# steeply as soon as the weights move a little; in a *flat* one it does not. New texts move the loss a little, so
# flat minima tend to hold for them, too.
#
# AWP (Wu, Xia, Wang 2020, [arXiv:2004.05884](https://arxiv.org/abs/2004.05884)) looks for flat ones: at each step
# it moves the weights *against* the loss, as far as a share of each matrix's own norm, learns from the gradient
# there, and puts the weights back. It costs a second pass through the network.

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
# ## By hand, on one matrix
#
# The class stands on torch alone and works with any module. Watch one step of it.

# %%
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from training.regularizers.awp import AdversarialWeightPerturbation

torch.manual_seed(0)
model = nn.Linear(8, 3)
inputs, labels = torch.randn(32, 8), torch.randint(0, 3, (32,))
awp = AdversarialWeightPerturbation(model, epsilon=0.2)
before = model.weight.detach().clone()

loss = cross_entropy(model(inputs), labels)
loss.backward()
with awp.perturbed() as moved:
    away = (model.weight.detach() - before).norm() / before.norm()
    uphill = cross_entropy(model(inputs), labels)
    uphill.backward()

print("moved:", moved)
print(f"by {float(away):.3f} of the matrix's norm")
print(f"the loss there: {float(uphill):.3f}, and at the weights themselves: {float(loss):.3f}")
print("the weights are back, bit for bit:", torch.equal(model.weight, before))

# %%
assert moved == ["weight"], "the bias is a vector and is left alone"
assert abs(float(away) - awp.epsilon) < 1e-5
assert uphill > loss
assert torch.equal(model.weight, before)

# %% [markdown]
# ## What the loss looks like around a minimum
#
# The same network, trained twice from the same start with the same texts: plainly, and with AWP. Then walk away
# from each result in random directions, each as long as a share of the weights' norm, and see how fast the loss
# rises.

# %%
import matplotlib.pyplot as plt
import numpy as np

ROUNDS = 120 if SMOKE else 600
generator = torch.Generator().manual_seed(1)
centres = torch.randn(3, 20, generator=generator)
truth = torch.randint(0, 3, (120,), generator=generator)
points = centres[truth] + 1.6 * torch.randn(120, 20, generator=generator)


def fresh() -> nn.Module:
    """A small network, the same every time."""
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 3))


def trained(epsilon: float | None) -> nn.Module:
    """Trained on the points, with AWP unless `epsilon` is None."""
    model = fresh()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    awp = AdversarialWeightPerturbation(model, epsilon=epsilon) if epsilon else None
    for _ in range(ROUNDS):
        cross_entropy(model(points), truth).backward()
        if awp is not None:
            with awp.perturbed():
                cross_entropy(model(points), truth).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


@torch.no_grad()
def around(model: nn.Module, distance: float, tries: int = 30) -> float:
    """Mean loss at `tries` places at that relative distance from the weights."""
    chance = torch.Generator().manual_seed(3)
    kept = [parameter.clone() for parameter in model.parameters()]
    losses = []
    for _ in range(tries):
        for parameter, home in zip(model.parameters(), kept, strict=True):
            direction = torch.randn(parameter.shape, generator=chance)
            parameter.copy_(home + distance * home.norm() * direction / direction.norm())
        losses.append(float(cross_entropy(model(points), truth)))
    for parameter, home in zip(model.parameters(), kept, strict=True):
        parameter.copy_(home)
    return float(np.mean(losses))


distances = np.linspace(0, 1.0, 9)
results = {"plain": trained(None), "AWP": trained(0.2)}
curves = {name: [around(model, step) for step in distances] for name, model in results.items()}
figure, axes = plt.subplots(figsize=(6, 3.4))
for name, losses in curves.items():
    axes.plot(distances, losses, marker="o", label=name)
axes.set_xlabel("distance from the trained weights, as a share of their norm")
axes.set_ylabel("training loss there")
axes.legend()
plt.show()

# %% [markdown]
# ## In an experiment
#
# One key of the experiment file switches it on for a network. The schedule, gradient accumulation and checkpoints
# do not notice: it takes part in each batch between the backward pass and the optimiser's step.

# %%
from rich.progress import Progress
from training.config.finetuning import AwpConfig
from training.config.network import NetworkConfig
from training.data import DataConfig, load_data, split_data
from training.finetuning.loop import finetune
from training.models.result import TrainingContext
from training.models.weights import load_network

data = DataConfig(source="bbc_news", limit=120 if SMOKE else 400)
splits = split_data(load_data(data, seed=42), data, seed=42)
config = NetworkConfig(
    layers=1 if SMOKE else 3,
    max_length=24 if SMOKE else 96,
    epochs=2,
    learning_rate=2e-4,
    batch_size=8,
    awp=AwpConfig(epsilon=0.01, start_epoch=1),
)
torch.manual_seed(42)
network, tokenizer = load_network(config.weights, splits.labels, config.layers)
place = TrainingContext(
    "awp", folder / "bundle", folder / "scratch", 42, Progress(disable=True)
)
history = finetune(network, tokenizer, config, splits, place)
for epoch in history.epochs:
    print({name: round(value, 3) for name, value in epoch.items()})

# %% [markdown]
# Does it help? That is a question for a comparison over several seeds, not for a lesson:
# `python -m training compare regularisers --seeds 5 --against plain` asks it.

# %%
assert len(history.epochs) == 2
