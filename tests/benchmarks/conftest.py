"""The monitoring benchmarks need the champion that the monitoring tests use."""

from tests.monitoring.conftest import house, template

__all__ = ["house", "template"]
