# MLflow's server with what its own image leaves out: PostgreSQL, artifacts on S3, and its authentication.
#
#   docker build -f deploy/mlflow.Dockerfile -t champion-mlflow .

ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS packages
ARG PIP_INDEX_URL
WORKDIR /build
RUN python -m venv /venv
COPY requirements/mlflow.lock packages.lock
# The secret `ca` is a certificate bundle, for networks whose proxy has a certificate of its own.
RUN --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
    && /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --only-binary :all: \
       --require-hashes --requirement packages.lock

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="champion-mlflow" \
      org.opencontainers.image.description="MLflow's server with authentication, PostgreSQL and S3" \
      org.opencontainers.image.licenses="MIT"
COPY --from=packages /venv /venv
COPY deploy/mlflow_server.py /app/mlflow_server.py
RUN install --directory --owner=10001 --group=10001 /artifacts
# Job processes are for evaluations that are not used here, and cost 2 GB.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true \
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
USER 10001:10001
VOLUME /artifacts
EXPOSE 5000
CMD ["python", "/app/mlflow_server.py", "--host=0.0.0.0", "--port=5000", "--workers=1", "--serve-artifacts", "--artifacts-destination=/artifacts"]
