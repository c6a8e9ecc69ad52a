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
# # 7 · Everything together
#
# One command does what the lessons did by hand: `python -m training run quickstart`. It reads and checks the
# data, trains every candidate, judges them on texts that no choice has seen, sends the winner through the gate,
# and registers it.

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
from rich.console import Console
from training.experiment.loader import load_experiment

fewer = [
    "candidates.cascade=null",
    "candidates.static_linear=null",
    "candidates.tfidf_catboost=null",
    "candidates.minilm_3.layers=2",
    "candidates.minilm_3.int8=null",
    "analysis.label_errors=false",
    "data.checks.language_texts=20",
    "behaviour.texts=5",
    "gate.resamples=200",
]
experiment = load_experiment("quickstart", fewer if SMOKE else [], smoke=SMOKE)
print(experiment.as_yaml()[:700], "…")

# %% [markdown]
# ## A run

# %%
from training.pipeline.run import run_experiment

console = Console(width=110)
outcome = run_experiment(experiment, console=console)

# %% [markdown]
# There was no champion to beat, so the winner became it. Now the same once more: the second winner is as good as
# the first, which is no reason to replace it. It stays challenger, and the gate says why.

# %%
again = run_experiment(experiment, console=Console(quiet=True))
for reason in again.decision.reasons:
    print("-", reason)

# %%
assert outcome.decision.alias == "champion"
assert again.decision.alias == "challenger"

# %% [markdown]
# ## What it leaves
#
# Pictures and pages of the run, and every figure in MLflow.

# %%
from IPython.display import Image, display

for path in sorted(outcome.report.rglob("*")):
    if path.suffix in {".html", ".md"}:
        print(path.relative_to(outcome.report))
display(Image(filename=str(outcome.report / "comparison.png"), width=700))

# %% [markdown]
# ## From the registry to an answer
#
# Serving asks the registry who is champion, fetches that bundle, checks its hashes, and loads it. No torch is
# needed.

# %%
from classifier import Classifier
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings

registry = ModelRegistry(TrackingSettings(model_name=outcome.version.name))
champion = registry.by_alias("champion")
classifier = Classifier.load(registry.fetch(champion))
text = "Shares in London fell sharply after the bank raised rates."
best = int(classifier.predict([text])[0].argmax())
print(f"version {champion.version} of {champion.name} says: {classifier.labels[best]}")

# %% [markdown]
# People overrule the gate with two commands: `python -m training promote VERSION --force`, and `python -m training
# rollback`, which undoes it.

# %%
registry.promote(again.version.version)
print(
    "champion:",
    registry.by_alias("champion").version,
    " previous:",
    registry.by_alias("previous").version,
)
registry.rollback()
print("after the rollback:", registry.by_alias("champion").version)

# %%
assert registry.by_alias("champion").version == outcome.version.version
