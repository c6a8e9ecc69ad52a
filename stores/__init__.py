"""Where things are kept: models (the MLflow registry), predictions (SQL), settings (environment and `.env`)."""
