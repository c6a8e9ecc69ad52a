"""The report of a check: HTML, plots, tables and Evidently's page."""
