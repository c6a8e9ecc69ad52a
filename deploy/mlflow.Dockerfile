# MLflow's server with the driver that it needs for PostgreSQL, which its own image leaves out.

ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE}
# The secret `ca` is a certificate bundle, for networks whose proxy has a certificate of its own.
RUN --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
    && python -m pip install --no-cache-dir --disable-pip-version-check --only-binary :all: \
       "mlflow==3.17.2" "psycopg[binary]==3.3.9" \
    && install --directory --owner=10001 --group=10001 /artifacts
# Job processes are for evaluations that are not used here, and cost 2 GB.
ENV HOME=/tmp \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true \
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
USER 10001:10001
VOLUME /artifacts
EXPOSE 5000
CMD ["mlflow", "server", "--help"]
