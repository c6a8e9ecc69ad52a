"""Settings of this room."""

from __future__ import annotations

from pathlib import Path

from stores.settings import VarSettings


class TrainingSettings(VarSettings):
    """Where training writes."""

    @property
    def reports(self) -> Path:
        """Pictures and figures of every run, a folder each; kept."""
        return self.folder("reports")

    @property
    def scratch(self) -> Path:
        """Bundles in the making and checkpoints; each run's folder is deleted when it ends."""
        return self.folder("training")
