# The serving image: the service room and what it needs, nothing that trains and nothing that compiles.
#
#   docker build -t champion .
#   docker run --read-only --tmpfs /tmp -v champion-var:/app/var -p 3000:3000 -e MLFLOW_TRACKING_URI=… -e API_KEYS=… champion
#
# It listens on every address of the container, so it starts only with keys (API_KEYS or API_KEYS_FILE), or with
# ALLOW_ANONYMOUS=true; otherwise it ends with 78 and says so.
#
# It runs one worker process for each two cores and each GiB that the container may use; WORKERS says otherwise.
#
# /app/var holds the model cache and, unless PREDICTIONS_URL names PostgreSQL, the prediction store.

ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS packages
# service: networks and scikit-learn pipelines. catboost: those and CatBoost, some hundred MB more.
ARG REQUIREMENTS=service
# Only where packages do not come from PyPI itself.
ARG PIP_INDEX_URL
WORKDIR /build
RUN python -m venv /venv
COPY requirements/${REQUIREMENTS}.lock packages.lock
# --only-binary: what would need a compiler fails here, and does not compile for an hour.
# The secret `ca` is a certificate bundle, for networks whose proxy has a certificate of its own.
RUN --mount=type=secret,id=ca \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
    && /venv/bin/python -m pip install --no-cache-dir --no-compile --disable-pip-version-check --no-deps \
       --only-binary :all: --require-hashes --requirement packages.lock \
    && /venv/bin/python -m pip uninstall --quiet --yes setuptools pip \
    && find /venv -type d -name __pycache__ -prune -exec rm -rf {} + \
    && find /venv/lib/python3*/site-packages/scipy /venv/lib/python3*/site-packages/sklearn \
       /venv/lib/python3*/site-packages/numpy -type d -name tests -prune -exec rm -rf {} +
# The file system is read-only later: bytecode of what serving imports is made now; that of the rest would add 95 MB.
RUN BENTOML_HOME=/tmp/bentoml MLFLOW_DISABLE_TELEMETRY=true BENTOML_DO_NOT_TRACK=True DO_NOT_TRACK=true \
    /venv/bin/python -c "import bentoml, uvicorn.server, uvicorn.protocols.http.httptools_impl, uvicorn.lifespan.on, \
starlette.applications, uvloop, prometheus_client, mlflow.artifacts, alembic.command, psycopg, onnxruntime, tokenizers, skops.io, sklearn.pipeline, sklearn.linear_model, sklearn.feature_extraction.text"

FROM ${BASE_IMAGE} AS app
WORKDIR /app
COPY pyproject.toml bentofile.yaml LICENSE ./
COPY classifier classifier
COPY stores stores
COPY service service
RUN python -m compileall -q classifier stores service

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="champion" \
      org.opencontainers.image.description="Serves the champion of a text classifier's registry over HTTP" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=packages /venv /venv
COPY --from=app /app /app
RUN install --directory --owner=10001 --group=10001 /app/var
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    BENTOML_HOME=/tmp/bentoml \
    BENTOML_HOST=0.0.0.0 \
    BENTOML_PORT=3000 \
    BENTOML_DO_NOT_TRACK=True \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true \
    VAR_DIR=/app/var
WORKDIR /app
USER 10001:10001
VOLUME /app/var
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen(f\"http://127.0.0.1:{os.environ['BENTOML_PORT']}/readyz\", timeout=4)"]
CMD ["python", "-m", "service", "serve"]
