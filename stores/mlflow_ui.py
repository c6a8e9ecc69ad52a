"""`python -m stores.mlflow_ui`: MLflow's pages, with links that open on the runs of each experiment.

Without `workflowType=machine_learning` in the address MLflow 3.17 shows its pages for applications on language models,
which list traces and no runs. Where MLFLOW_TRACKING_URI is a server, only the links are printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
import webbrowser

import click

from stores.errors import StoreError
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings, private_umask
from stores.telemetry import turn_telemetry_off

_START_SECONDS = 120.0


def experiment_links(registry: ModelRegistry, address: str) -> list[tuple[str, str]]:
    """Name and address of the runs of every experiment that has runs, the one with the newest run first.

    Args:
        registry: where the experiments are.
        address: of MLflow's server, without a slash at its end.

    Raises:
        RegistryUnavailable: MLflow does not answer.
    """
    return [
        (name, f"{address}/#/experiments/{id_}/runs?workflowType=machine_learning")
        for name, id_ in registry.experiments_with_runs()
    ]


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on.")
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--open", "open_browser", is_flag=True, help="Open the newest experiment in a browser.")
def main(host: str, port: int, open_browser: bool) -> None:
    """Serve MLflow's pages on the settings' database until Ctrl + C."""
    turn_telemetry_off()
    private_umask()
    tracking = TrackingSettings()
    registry = ModelRegistry(tracking)
    remote = tracking.tracking_uri.startswith(("http://", "https://"))
    address = tracking.tracking_uri.rstrip("/") if remote else f"http://{host}:{port}"
    try:
        links = experiment_links(registry, address)
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    if remote:
        _show(links, open_browser)
        return
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1", "--host", host, "--port", str(port)]
    # Its job processes take 2 GB of memory, and nothing here gives them work.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(
        [*command, "--backend-store-uri", tracking.tracking_uri], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        _wait_until_answered(server, f"{address}/health")
        _show(links, open_browser)
        server.wait()
    except KeyboardInterrupt:
        click.echo("")
    finally:
        server.terminate()
        server.wait()


def _show(links: list[tuple[str, str]], open_browser: bool) -> None:
    if not links:
        click.echo("There are no runs yet: `python -m training run` makes some.")
        return
    click.echo("Runs by experiment, the newest first:")
    width = max(len(name) for name, _ in links)
    for name, link in links:
        click.echo(f"  {name:<{width}}  {link}")
    click.echo("Elsewhere in MLflow choose “Model training” at the top left; “GenAI” lists no runs of ours.")
    if open_browser:
        webbrowser.open(links[0][1])


def _wait_until_answered(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise click.ClickException(f"MLflow's server ended with status {server.returncode}: see above")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise click.ClickException(f"{url} did not answer within {_START_SECONDS:.0f} s")


if __name__ == "__main__":
    main()
