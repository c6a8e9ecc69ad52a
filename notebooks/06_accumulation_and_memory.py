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
# # 6 · Accumulation, and when memory runs out
#
# How many texts a *step* learns from is a question of learning: the gradient of 32 texts is steadier than that of
# 4. How many pass through the network *at once* is a question of memory. Gradient accumulation keeps the two
# apart: gradients of several small batches are added, and then one step is taken.

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
# ## The same step in parts
#
# The mean over 12 texts is not the mean of the means of 8 and 4. So the trainer divides by the number of texts of
# the whole step, not of each part: then it does not matter how a step is cut.

# %%
import torch
from torch import nn
from training.finetuning.regularizers import cross_entropy, mean_of_step

torch.manual_seed(0)
inputs, labels = torch.randn(12, 5), torch.randint(0, 3, (12,))


def gradient(*sizes: int) -> torch.Tensor:
    """Of a linear layer after one step, cut into parts of these sizes."""
    torch.manual_seed(1)
    layer, start = nn.Linear(5, 3), 0
    for size in sizes:
        part = slice(start, start + size)
        mean_of_step(cross_entropy, layer(inputs[part]), labels[part], len(labels)).backward()
        start += size
    return layer.weight.grad


for sizes in ((12,), (6, 6), (8, 4), (1,) * 12):
    difference = (gradient(*sizes) - gradient(12)).abs().max()
    print(f"in {len(sizes):>2} parts of {sizes[0]}: largest difference {float(difference):.1e}")
    assert difference < 1e-6

# %% [markdown]
# ## When memory runs out
#
# A batch of long texts may not fit where hundreds of short ones did. Ending there would lose hours; so the
# training continues: from the last checkpoint, with half the batch size and twice the gradient accumulation. A
# step still learns from the same number of texts, and the schedule does not notice.
#
# Watch it happen. This callback makes a real allocation fail at the sixth step, until no more than four texts are
# computed at once: it asks for more memory than any machine has.

# %%
from rich.progress import Progress
from training.config.finetuning import ScheduleConfig
from training.config.network import NetworkConfig
from training.data import DataConfig, load_data, split_data
from training.finetuning.loop import finetune
from training.models.result import TrainingContext
from training.models.weights import load_network
from transformers import TrainerCallback


class SmallMachine(TrainerCallback):
    """Memory for four texts at once, after a while."""

    def on_step_begin(self, args, state, control, **kwargs):
        """Called before each step."""
        if state.global_step >= 6 and args.per_device_train_batch_size > 4:
            torch.empty(2**50)


data = DataConfig(source="bbc_news", limit=120 if SMOKE else 400)
splits = split_data(load_data(data, seed=42), data, seed=42)
config = NetworkConfig(
    layers=1 if SMOKE else 3,
    max_length=24 if SMOKE else 96,
    epochs=2,
    learning_rate=2e-4,
    batch_size=8,
    accumulation=2,
    schedule=ScheduleConfig(checkpoint_every=2),
)
torch.manual_seed(42)
network, tokenizer = load_network(config.weights, splits.labels, config.layers)
place = TrainingContext(
    "lesson", folder / "bundle", folder / "scratch", 42, Progress(disable=True)
)
history = finetune(network, tokenizer, config, splits, place, callbacks=[SmallMachine()])

# %%
for restart in history.restarts:
    print({name: value for name, value in restart.items() if name != "error"})
print(history.steps, "steps;", history.stop_reason)

# %%
texts_of_a_step = config.batch_size * config.accumulation
assert len(history.restarts) == 1
assert (
    history.restarts[0]["batch_size"] * history.restarts[0]["accumulation"] == texts_of_a_step
)
assert history.stop_reason.startswith("finished")

# %% [markdown]
# The same checkpoints serve when the process is killed: `python -m training run …` continues where the
# last one was, and ends with the very weights of a training that nothing has disturbed.
