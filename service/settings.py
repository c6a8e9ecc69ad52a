"""Settings of the service; the registry's, the prediction store's and the signing key's stand in `stores.settings`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from joblib import cpu_count
from pydantic import Field, SecretStr, field_validator, model_validator

from classifier.batches import DEFAULT_BATCH_TOKENS
from classifier.device import Device
from classifier.precision import Precision
from stores.settings import TrafficSettings

_ORIGIN = re.compile(r"https?://[a-z0-9.\-]+(:[0-9]+)?|https?://\[[0-9a-f:.]+\](:[0-9]+)?")
PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,8}")


class ServiceSettings(TrafficSettings):
    """Limits of HTTP, batching, and how the champion is followed."""

    api_keys: SecretStr | None = None
    """Keys in clear, separated by commas. They are named env-1, env-2, … by their place, and have every scope but
    `erase`. With neither this nor API_KEYS_FILE everybody may classify, and the service listens on loopback addresses
    only."""

    api_keys_file: Path | None = None
    """File of keys that `python -m service keys` keeps: hashes, names, scopes and limits. It is read again when it
    changes."""

    key_requests_per_minute: int | None = Field(default=None, ge=1)
    """Requests a minute of each key without a limit in API_KEYS_FILE; more is refused with 429. Each
    replica counts by itself. Unset: no limit."""

    key_texts_per_minute: int | None = Field(default=None, ge=1)
    """The same for the texts that a key may have classified in a minute."""

    allow_anonymous: bool = False
    """Whether the service may listen on other than loopback addresses without keys."""

    max_texts: int = Field(default=1000, ge=1)
    """Texts (or feedback items) in one request; more is refused with 422."""

    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    """Bytes of one request's body; more is refused with 413."""

    max_text_chars: int = Field(default=100_000, ge=1)
    """Characters of one text; a longer one is refused with 422, before it is tokenised."""

    max_header_bytes: int = Field(default=32 * 1024, ge=1024)
    """Bytes of one request's headers; more is refused with 431, and so are more than 100 headers. An address of more
    than 8 KiB is refused with 414."""

    max_inflight_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    """Bytes of the bodies of requests that are not answered yet, over all requests; past it requests are refused with
    503. Bodies of up to 64 KiB are not counted. It bounds memory: see docs/serving.md."""

    max_connections: int = Field(default=500, ge=1)
    """Connections that are open at a time. Past it one that is idle is closed, or else the new one refused with 503."""

    idle_seconds: float = Field(default=30.0, gt=0, le=3600)
    """Seconds for which a connection may be idle between requests, bring nothing of a body (408), or take nothing of an
    answer; and for which the head of a request may take (408)."""

    allowed_hosts: str | None = None
    """Names in the header `Host` that are answered, separated by commas; `*.example.org` takes every name under it, and
    `*` any. The address of the connection itself is always answered, and `localhost`, `127.0.0.1` and `[::1]` on
    loopback connections. Unset: no other on loopback connections; elsewhere any where keys are set, and without keys IP
    addresses, names without a dot, and those under `.internal`, `.local`, `.localhost` and `.svc`."""

    cors_origins: str | None = None
    """Origins, such as `https://app.example.org`, whose pages may use the service from a browser, separated by commas;
    `*`: all. Unset: only the service's own pages may."""

    root_path: str | None = None
    """Prefix under which a proxy offers the service, such as `/ml`, where the proxy leaves it in the address. A proxy
    that removes it needs nothing: the pages use relative addresses. Unset: none."""

    queue_texts: int = Field(default=2000, ge=1)
    """Texts that may wait to be computed, over all requests; past it requests are refused with 429."""

    batch_tokens: int = Field(default=DEFAULT_BATCH_TOKENS, ge=1)
    """Padded tokens of one batch. More is slower on a CPU once a batch no longer fits its cache; a GPU should
    get more."""

    cache_bytes: int = Field(default=32 * 1024 * 1024, ge=0)
    """Bytes of the cache of answers: a text that was classified before is not computed again (but logged like any
    other). 0: every text is computed. Texts themselves are not kept in it."""

    threads: int | None = Field(default=None, ge=1)
    """Threads that compute. Unset: one for each core that the process may use, a container's limit included."""

    workers: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = "auto"
    """Worker processes of `python -m service serve`; `bentoml serve` has one. `auto`: one for each two of THREADS, but
    no more than GiB of memory that the service may use, and one with DEVICE=cuda. THREADS and PREDICTIONS_SPOOL_BYTES
    are divided among them; caches, queues, and limits of memory, connections and rates are of each worker."""

    precision: Precision = "auto"
    """Numbers that a network computes in, where its bundle holds both: `float32`; `int8`, refused where it does not
    answer like float32 on this processor; or `auto`: int8 where it answers like float32 and is faster, measured at
    load."""

    device: Device = "auto"
    """Where a network computes: `cpu`, `cuda` (an NVIDIA GPU; needs `onnxruntime-gpu` in place of `onnxruntime`, and is
    refused where there is none), or `auto`: on the GPU where ONNX Runtime can use one. Classical models use the CPU."""

    request_timeout: float = Field(default=30.0, gt=0, le=3600)
    """Seconds until a request is answered with 504; `X-Deadline-Ms` shortens it for one request."""

    stall_seconds: float = Field(default=120.0, gt=0)
    """A batch that takes longer turns `/livez` red, so that the process is restarted."""

    poll_seconds: float = Field(default=5.0, gt=0)
    """Seconds between two look-ups of the champion in the registry."""

    allow_label_change: bool = False
    """Whether the alias may bring a version whose labels are not those that are served. False: such a version is
    refused until `python -m training promote VERSION --force` accepts its labels, and `/model` says so in `problem`."""

    model_check_seconds: float = Field(default=120.0, ge=0, le=3600)
    """Seconds that a bundle may take to be loaded and to classify its golden texts in a child process before it is
    loaded by the service. 0: it is not tried there."""

    model_check_bytes: int = Field(default=4 * 1024**3, ge=64 * 1024**2)
    """Memory that it may take there."""

    shadow_rate: float = Field(default=0.0, ge=0, le=1)
    """Share of the texts that the `challenger` classifies too, in time that no request needs; how often it agrees
    stands in `/model` and in the metrics. Its answers are neither sent nor logged."""

    canary_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the requests that the `challenger` answers instead, said in `model`; the same `X-Sticky-Key` gets the
    same model every time. Only a challenger with the champion's labels answers."""

    cascade_audit_rate: float = Field(default=0.01, ge=0, le=1)
    """Where the model is a cascade: share of the texts answered early that go through all its stages too, in time that
    no request needs. How often the label is the same stands in `/model`, the metrics and the prediction store, where
    monitoring reads it. Only texts of TRAFFIC_SOURCES are audited."""

    cascade_overload_loss: float = Field(default=0.0, ge=0, le=0.1)
    """Where the model is a cascade and more than half of QUEUE_TEXTS wait: its first stage answers more texts, at an
    accuracy at most this much below that of all stages (0.01, 0.02, 0.05 or 0.1, with the confidence that the bundle
    names; as far as its validation texts could show it). 0: never."""

    drain_seconds: float = Field(default=1.0, ge=0)
    """After SIGTERM, how long new work is answered with 503 and `/readyz` is red before connections close:
    the time a load balancer needs to notice."""

    log_predictions: bool = True
    """Commit every prediction to the prediction store before it is answered. False: nothing is kept, monitoring
    sees no traffic, and feedback finds no prediction."""

    otel_exporter_otlp_endpoint: str | None = None
    """Address of an OpenTelemetry collector that takes OTLP over HTTP (`http://collector:4318`). Unset: no spans."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level of log lines; `INFO` writes one line a request."""

    @property
    def cores(self) -> int:
        """Threads that compute."""
        return self.threads or cpu_count()

    @property
    def needs_key(self) -> bool:
        """Whether requests need a key."""
        return bool(self.keys) or self.api_keys_file is not None

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys of API_KEYS."""
        if self.api_keys is None:
            return ()
        parts = (part.strip() for part in self.api_keys.get_secret_value().split(","))
        return tuple(part.encode() for part in parts if part)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of ALLOWED_HOSTS, in lower case."""
        return tuple(name.lower() for name in _listed(self.allowed_hosts))

    @property
    def origins(self) -> frozenset[str]:
        """The origins of CORS_ORIGINS."""
        return frozenset(_listed(self.cors_origins))

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: str | None) -> str | None:
        for origin in _listed(origins):
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    "CORS_ORIGINS must list origins such as https://app.example.org: scheme, host and port in lower "
                    "case, and no path"
                )
        return origins

    @field_validator("root_path")
    @classmethod
    def _is_a_prefix(cls, path: str | None) -> str | None:
        path = (path or "").rstrip("/")
        if path and not PREFIX.fullmatch(path):
            raise ValueError("ROOT_PATH must be a path such as /ml")
        return path or None

    @model_validator(mode="after")
    def _a_full_body_is_taken(self) -> Self:
        if self.max_body_bytes > self.max_inflight_bytes:
            raise ValueError(
                f"MAX_BODY_BYTES ({self.max_body_bytes}) is above MAX_INFLIGHT_BYTES ({self.max_inflight_bytes}): such "
                "a body could never be accepted; raise MAX_INFLIGHT_BYTES or lower MAX_BODY_BYTES"
            )
        return self

    @model_validator(mode="after")
    def _a_full_list_fits_the_queue(self) -> Self:
        if self.max_texts > self.queue_texts:
            raise ValueError(
                f"MAX_TEXTS ({self.max_texts}) is above QUEUE_TEXTS ({self.queue_texts}): such a list could never "
                "be accepted; raise QUEUE_TEXTS or lower MAX_TEXTS"
            )
        return self

    @model_validator(mode="after")
    def _keys_are_not_blank(self) -> Self:
        if self.api_keys is not None and not self.keys:
            raise ValueError("API_KEYS holds no key: list keys separated by commas, or unset it")
        return self


def _listed(names: str | None) -> list[str]:
    return [name.strip() for name in (names or "").split(",") if name.strip()]
