"""Reports: plots, tables, the run page and the model card."""
