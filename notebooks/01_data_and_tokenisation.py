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
# # 1 · Data and tokenisation
#
# A classifier is as good as its data, and its figures are worth what the split is worth. This lesson reads texts,
# looks at what was wrong with them, divides them so that no part leaks into another, and turns them into what a
# network reads.

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
folder = Path(home.name)

# %%
from rich.console import Console
from training.data import DataConfig, load_data, split_data

config = DataConfig(source="bbc_news", limit=150 if SMOKE else None)
loaded = load_data(config, seed=42)
splits = split_data(loaded, config, seed=42)
Console(width=100).print(splits.report)

# %% [markdown]
# Read the first table from top to bottom: how many rows there were, and what became of each that is not used. A
# row is never dropped in silence.
#
# *Near-duplicates* deserve a word. News agencies repeat themselves: an article, and the same article with two sentences
# more. If one stands in the training part and the other in the test part, the test asks what the network has
# already been told. So texts that share most of their three-word runs are found (MinHash), and all of them go to
# the training part.

# %%
from IPython.display import Image, display
from training.data.plots import write_data_pictures

for picture in write_data_pictures(splits.report, folder):
    display(Image(filename=str(picture), width=700))

# %% [markdown]
# The same seed gives the same split, on any machine, and a fingerprint says so. It is kept with every model, so
# that two models can be compared only where they were evaluated on the same texts.

# %%
again = split_data(load_data(config, seed=42), config, seed=42)
other = split_data(load_data(config, seed=43), config, seed=43)
print(splits.test.fingerprint[:16], again.test.fingerprint[:16], other.test.fingerprint[:16])
assert splits.test.fingerprint == again.test.fingerprint != other.test.fingerprint

# %% [markdown]
# ## From text to token ids
#
# The tokenizer cuts words into pieces that it knows, and puts a mark at the beginning and at the end.

# %%
from training.models.weights import load_network

network, tokenizer = load_network("all-minilm-l6-v2", splits.labels, layers=None)
print(tokenizer.tokenize("The chancellor's reshuffle was unputdownable."))

# %% [markdown]
# A network reads a limited number of tokens; the rest of a text is cut, in training as in serving. How much of
# these texts is lost at which limit?

# %%
import numpy as np

encoded = tokenizer(splits.train.texts, truncation=True, max_length=512)
lengths = np.array([len(ids) for ids in encoded["input_ids"]])
for limit in (32, 64, 128, 256):
    print(f"{limit:>4} tokens: {np.mean(lengths > limit):4.0%} of the texts are cut")

# %% [markdown]
# ## Padding
#
# A batch is a rectangle, and texts are not equally long: the short ones are filled up with padding, which costs
# as much to compute as words do. Padding every text to the limit is the simplest way, and the dearest. The
# project pads each batch to its own longest text, and lets texts of like length share a batch.

# %%
from training.finetuning.trainer import LengthOrder

limit, size = 512, 16


def padded(order: list[int]) -> int:
    """Places that are computed when batches are cut from `order`, each as wide as its longest text."""
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return sum(len(batch) * int(lengths[batch].max()) for batch in batches)


ways = {
    "to the limit": len(lengths) * limit,
    "to the longest of a batch, any order": padded(
        list(np.random.default_rng(0).permutation(len(lengths)))
    ),
    "to the longest of a batch, like lengths together": padded(
        list(LengthOrder(lengths.tolist(), size, seed=0))
    ),
    "to the longest of a batch, sorted by length": padded(list(np.argsort(lengths))),
}
for name, places in ways.items():
    print(
        f"{places / lengths.sum():5.2f} places computed for each that holds a token, padding {name}"
    )

# %% [markdown]
# Sorted by length would waste least, and would let the network see all short texts before all long ones. So
# lengths are grouped within stretches of the shuffled order: nearly as cheap, and still at random.

# %%
costs = list(ways.values())
assert costs[0] >= costs[1] >= costs[3]
assert costs[2] <= costs[0]
