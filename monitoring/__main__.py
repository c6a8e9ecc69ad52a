"""`python -m monitoring`."""

import sys


def run() -> None:
    """Import the commands and run one; an installation that cannot be imported exits with 2 as any other failure."""
    try:
        from stores.telemetry import turn_telemetry_off

        turn_telemetry_off()
        from monitoring.cli import main  # after the switches: its commands import mlflow and evidently
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        print(f"monitoring could not start: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
    main(prog_name="python -m monitoring")


if __name__ == "__main__":
    run()
