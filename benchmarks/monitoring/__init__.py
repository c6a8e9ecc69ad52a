"""Alarm rates, detection, latency alarms and cost of a monitoring check."""
