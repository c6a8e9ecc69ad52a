"""`python -m monitoring`."""

from stores.telemetry import turn_telemetry_off

if __name__ == "__main__":
    turn_telemetry_off()
    from monitoring.cli import main  # after the switches: its commands import mlflow and evidently

    main(prog_name="python -m monitoring")
