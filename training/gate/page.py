"""`gate.html`: the verdict in words, each check as a row, then the pictures; with or without a champion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.behaviour.result import Behaviour
from training.calibration import reliability
from training.data import Part
from training.evaluation import positions_of
from training.gate import pictures
from training.gate.config import GateConfig
from training.gate.contenders import Champion
from training.gate.decision import Decision
from training.judging import Judged, uncalibrated
from training.pages import write_page
from training.resampling import calibration_interval


def write_gate_pages(
    pages: Mapping[Path, bool],
    experiment: str,
    winner: Judged,
    decision: Decision,
    champion: Champion | None,
    behaviour: Behaviour,
    test: Part,
    gate: GateConfig,
) -> None:
    """Write the page of one decision.

    Args:
        pages: the files to write, and whether each quotes failures of the behavioural tests, texts of the data.
        experiment: its name.
        winner: the run's winner.
        decision: what the gate decided about it.
        champion: the champion it was compared with, if there was one.
        behaviour: what the behavioural tests found.
        test: the test part.
        gate: what was demanded.
    """
    truth = positions_of(test.labels, winner.description.labels)
    raw = uncalibrated(winner)
    costs = {"winner": winner.cost}
    if champion is not None and champion.cost is not None:
        costs["champion"] = champion.cost
    compared = decision.differences is not None and decision.difference is not None
    shown: dict[str, Any] = {
        "difference": pictures.difference_picture(decision.differences, decision.difference, gate.min_gain)  # type: ignore[arg-type]
        if compared
        else "",
        "classes": pictures.classes_picture(winner.test, decision.champion_scores),
        "confusion": pictures.confusion_picture(winner.test),
        "champion_confusion": pictures.confusion_picture(decision.champion_scores)
        if decision.champion_scores
        else "",
        "before": pictures.reliability_picture(reliability(raw, truth)),
        "after": pictures.reliability_picture(winner.test.bins),
        "cost": pictures.cost_picture(costs, gate),
        "behaviour": pictures.behaviour_picture(behaviour, gate) if behaviour.tests else "",
    }
    error_before = calibration_interval(
        raw, truth, seed=0, confidence=gate.confidence, resamples=gate.resamples
    )
    for path, texts in pages.items():
        write_page(
            "gate.html.j2",
            path,
            texts=texts,
            experiment=experiment,
            winner=winner,
            decision=decision,
            behaviour=behaviour,
            gate=gate,
            shown=shown,
            error_before=error_before,
            costs=costs,
        )
