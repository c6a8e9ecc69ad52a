"""Nothing phones home, and libraries keep quiet: switches that they read from the environment when imported."""

from __future__ import annotations

import os

SWITCHES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",  # "1" does not stop MLflow
    "BENTOML_DO_NOT_TRACK": "True",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "EVIDENTLY_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # else transformers asks the hub to convert older weights, in a thread
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # a bar a file, even for ten small ones
}


def turn_telemetry_off() -> None:
    """Set every switch that the user has not set. Call it before importing what they are of."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
