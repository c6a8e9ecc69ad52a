#!/usr/bin/env bash
# Makes the lock files anew from pyproject.toml: every package that an install pulls in, with its hashes.
# `all` is the development and test environment, `demo` what `make demo` needs; the others are what one room needs in
# production.
set -euo pipefail
cd "$(dirname "$0")/.."

lock() {
  local name=$1
  shift
  uv pip compile pyproject.toml "$@" --universal --python-version 3.11 --generate-hashes --no-annotate \
    --no-header --override requirements/overrides.txt --constraint requirements/constraints.txt --quiet --output-file "requirements/$name.lock" >/dev/null
}

lock all requirements/torch-needs.in --extra demo --extra load --extra benchmark --extra cluster --extra notebooks --extra dev
lock demo requirements/torch-needs.in --extra demo -c requirements/all.lock
lock service --extra service -c requirements/all.lock
lock catboost --extra service --extra catboost -c requirements/all.lock
lock monitoring --extra monitoring -c requirements/all.lock
# A peer of the benchmark, whose packages conflict with ours: by itself, and like `all` without torch.
uv pip compile requirements/infinity.in requirements/torch-needs.in --universal --python-version 3.11 --generate-hashes \
  --no-annotate --no-header --override <(grep '^torch' requirements/overrides.txt) --quiet \
  --output-file requirements/infinity.lock >/dev/null
# What runs beside this project's own code: MLflow's server in its image, and the tools that describe the images.
for name in mlflow audit; do
  uv pip compile "requirements/$name.in" --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
    --constraint requirements/constraints.txt --quiet --output-file "requirements/$name.lock" >/dev/null
done
