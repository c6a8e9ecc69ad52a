"""A Trainer callback that kills its own process, for experiments that name it under `schedule.callbacks`."""

from __future__ import annotations

import os
import signal
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

STEP = "KILL_AT_STEP"
"""Environment variable: the step to die at; without it nothing happens."""


class KillAtStep(TrainerCallback):
    """`kill -9`: nothing is flushed, closed or cleaned up."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step == int(os.environ.get(STEP, -1)):
            os.kill(os.getpid(), signal.SIGKILL)
