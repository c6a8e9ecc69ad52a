-- Two databases, because MLflow and the prediction store each keep their migrations in a table of the same name.
CREATE DATABASE mlflow;
CREATE DATABASE predictions;
