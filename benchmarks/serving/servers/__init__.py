"""The servers that people write: a model behind a framework, as its documentation shows it."""
