"""The label queue asks for hard texts; what of them is held out, and so becomes a reference, stands for the traffic."""

from __future__ import annotations

import random

import numpy as np
import pytest

from monitoring.drift.permutation import PermutationSampler, numeric_scores
from monitoring.labels.active_learning import choose
from stores.predictions.queue import Batch, LabelQueue
from tests.monitoring.conftest import NOW, House
from tests.support.bundles import bbc_part
from training.config.data import LiveConfig
from training.data.live import stored_rows
from training.data.split import part_of


def test_quiet_traffic_is_quiet_beside_queued_live_texts(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAR_DIR", str(house.var))
    texts = list(dict.fromkeys(text.strip() for part in (2, 3, 4) for text in bbc_part(part)[0]))
    random.Random(3).shuffle(texts)
    house.answer(texts)
    sure = {row.text: row for row in house.store.sample(0, NOW, size=9999)}
    traffic, later = [sure[text] for text in texts[:1000]], texts[1000:]

    chosen = choose(traffic, bbc_part(1)[0], 300, np.random.default_rng(3))
    LabelQueue(house.store).add(Batch("news", house.champion.version, 0, NOW, 1000), chosen)
    house.store.add_feedback({item.prediction_id: "tech" for item in chosen})
    config = LiveConfig(model_name="news", per_class=1000)
    rows = stored_rows(config)
    assert len(rows) == len(chosen)

    alarms = {"all alike": 0, "as many as an even sample has": 0}
    sizes = []
    for seed in range(6):
        window = np.array([sure[text].score for text in random.Random(seed).sample(later, 200)])
        for way, times in zip(alarms, ([1.0] * len(rows), [row.held_out for row in rows]), strict=True):
            kept = [
                sure[row.text].score
                for row, more in zip(rows, times, strict=True)
                if part_of(row.text, config, seed, more) == "test"
            ]
            sides = {"confidence": (np.array(kept), window)}
            score = numeric_scores(sides, PermutationSampler(999, np.random.default_rng(seed)))["confidence"]
            alarms[way] += score.p_value <= 0.01
        sizes.append(len(kept))
    assert alarms["all alike"] >= 3, "or there was nothing to mend"
    assert alarms["as many as an even sample has"] == 0
    assert min(sizes) > 50, "fewer would not do for a reference"
