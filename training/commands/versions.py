"""Commands on registered versions: `promote`, `sign` and `rollback`."""

from __future__ import annotations

import click
from rich.console import Console

from stores.settings import TrackingSettings
from training.commands.shared import expected_errors


@click.command()
@click.argument("version")
@click.option("--model", help="Registered model; default: the setting MODEL_NAME.")
@click.option(
    "--force", is_flag=True, help="Promote it although its labels are others, or the gate refused it."
)
def promote(version: str, model: str | None, force: bool) -> None:
    """Show what VERSION changes and make it the champion; the champion until now becomes `previous`.

    A version with other labels than the champion's, or one that the gate refused, needs --force. Exit status 2: it was
    refused, or there is no such version.
    """
    from stores.registry import ModelRegistry
    from training.pipeline.promotion import promote_version

    with expected_errors():
        promote_version(ModelRegistry(_tracking(model)), version, force=force, console=Console())


@click.command()
@click.argument("version")
@click.option("--model", help="Registered model; default: the setting MODEL_NAME.")
def sign(version: str, model: str | None) -> None:
    """Sign VERSION, which is registered, with MODEL_SIGNING_PRIVATE_KEY or MODEL_SIGNING_KEY.

    For versions from before a key was set, and when a key is exchanged. Its hashes are checked first.
    """
    from stores.registry import ModelRegistry
    from training.pipeline.promotion import sign_registered

    with expected_errors():
        sign_registered(ModelRegistry(_tracking(model)), version, console=Console())


@click.command()
@click.option("--model", help="Registered model; default: the setting MODEL_NAME.")
def rollback(model: str | None) -> None:
    """Swap `champion` and `previous`; a second rollback undoes the first. Nothing refuses it."""
    from stores.registry import ModelRegistry
    from training.pipeline.promotion import roll_back

    with expected_errors():
        roll_back(ModelRegistry(_tracking(model)), console=Console())


def _tracking(model: str | None) -> TrackingSettings:
    return TrackingSettings(model_name=model) if model else TrackingSettings()
