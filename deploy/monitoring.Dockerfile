# The monitoring job: `python -m monitoring watch`. No torch, so it reports and alerts; retraining runs elsewhere.
#
#   docker build -f deploy/monitoring.Dockerfile -t champion-monitoring .

ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS packages
ARG PIP_INDEX_URL
WORKDIR /build
RUN python -m venv /venv
COPY requirements/monitoring.lock packages.lock
# The secret `ca` is a certificate bundle, for networks whose proxy has a certificate of its own.
RUN --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
    && /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --only-binary :all: \
       --require-hashes --requirement packages.lock

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="champion-monitoring" \
      org.opencontainers.image.description="Watches the champion of a text classifier's registry" \
      org.opencontainers.image.licenses="MIT"
COPY --from=packages /venv /venv
COPY classifier /app/classifier
COPY stores /app/stores
COPY monitoring /app/monitoring
RUN install --directory --owner=10001 --group=10001 /app/var
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true \
    VAR_DIR=/app/var
WORKDIR /app
USER 10001:10001
VOLUME /app/var
CMD ["python", "-m", "monitoring", "watch", "--every", "15m"]
