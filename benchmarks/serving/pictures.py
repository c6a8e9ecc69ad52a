"""The figures as pictures: throughput as bars, latency as lines over clients."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib.figure import Figure

from benchmarks.serving.results import Results, median

_OURS, _OTHERS = "#1f5fa8", "#a9b4c2"


def throughput(results: Results, ours: str, scenario: str, path: Path) -> Path:
    """Answers a second of each server in one scenario, each round as a dot, and the ceiling as a line."""
    kind = scenario.rpartition("-")[2]
    order = sorted(results.peers(), key=lambda peer: results.rate_of(peer, scenario))
    figure = Figure(figsize=(8, 0.55 * len(order) + 1.6), layout="constrained")
    axes = figure.subplots()
    axes.barh(
        order,
        [results.rate_of(peer, scenario) for peer in order],
        color=[_OURS if peer == ours else _OTHERS for peer in order],
    )
    for height, peer in enumerate(order):
        rates = [item.rate for item in results.of(peer, scenario)]
        axes.plot(rates, [height] * len(rates), ".", color="black", markersize=4)
        axes.annotate(
            f"{results.rate_of(peer, scenario):.0f}", (max(rates), height), xytext=(6, 0),
            textcoords="offset points", va="center",
        )  # fmt: skip
    if ceiling := results.ceiling(kind):
        axes.axvline(ceiling, color="black", linestyle="--", linewidth=1)
        axes.annotate(
            "in-process", (ceiling, 0), xytext=(-4, 0), textcoords="offset points", ha="right", va="center",
            rotation=90,
        )  # fmt: skip
    _, clients, _ = scenario.split("-")
    axes.set_xlabel("requests a second (bar: median, dots: rounds)")
    axes.set_title(f"{clients} clients, {kind} texts")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    return _saved(figure, path)


def latency(results: Results, ours: str, path: Path) -> Path:
    """Median and 99th percentile over the number of clients, mixed texts."""
    clients = sorted(
        int(scenario.split("-")[1]) for scenario in results.scenarios() if scenario.startswith("closed-")
        and scenario.endswith("-mixed")
    )  # fmt: skip
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name, title in zip(panels, ("p50", "p99"), ("half of the answers", "99 of 100"), strict=True):
        for peer in results.peers():
            values = [
                median(getattr(item, name) for item in results.of(peer, f"closed-{count}-mixed"))
                for count in clients
            ]
            width = 2.5 if peer == ours else 1.2
            axes.plot(clients, values, marker="o", linewidth=width, label=peer)
        axes.set(xscale="log", yscale="log", xlabel="clients", title=f"{title} came within")
        axes.set_xticks(clients, [str(count) for count in clients])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("milliseconds")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return _saved(figure, path)


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=130)
    return path
