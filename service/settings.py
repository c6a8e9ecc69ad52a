"""Settings of the service; the registry's, the prediction store's and the signing key's stand in `stores.settings`."""

from __future__ import annotations

from typing import Literal, Self

from joblib import cpu_count
from pydantic import Field, SecretStr, model_validator

from classifier.batches import DEFAULT_BATCH_TOKENS
from classifier.device import Device
from classifier.precision import Precision
from stores.settings import Settings


class ServiceSettings(Settings):
    """What the HTTP face accepts, how requests are batched, and how the champion is followed."""

    api_keys: SecretStr | None = None
    """Keys that may classify, separated by commas. Unset: everybody may."""

    max_texts: int = Field(default=1000, ge=1)
    """Texts (or feedback items) in one request; more is refused with 422."""

    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    """Bytes of one request's body; more is refused with 413."""

    queue_texts: int = Field(default=2000, ge=1)
    """Texts that may wait to be computed, over all requests; past it requests are refused with 429."""

    batch_tokens: int = Field(default=DEFAULT_BATCH_TOKENS, ge=1)
    """Padded tokens of one batch. More is slower on a CPU once a batch no longer fits its cache; a GPU should
    get more."""

    cache_bytes: int = Field(default=32 * 1024 * 1024, ge=0)
    """Bytes for answers to texts that were asked before, which are then not computed again (but logged like any
    other). 0: every text is computed. Texts themselves are not kept in it."""

    threads: int | None = Field(default=None, ge=1)
    """Threads that compute. Unset: one for each core that the process may use, a container's limit included."""

    precision: Precision = "auto"
    """Numbers that a network computes in, where its bundle holds both: `float32`, `int8`, or `auto`: whichever a short
    measurement at load finds faster on this processor."""

    device: Device = "auto"
    """Where a network computes: `cpu`, `cuda` (an NVIDIA GPU; needs `onnxruntime-gpu` in place of `onnxruntime`, and is
    refused where there is none), or `auto`: on the GPU where ONNX Runtime can use one. Classical models use the CPU."""

    request_timeout: float = Field(default=30.0, gt=0, le=3600)
    """Seconds until a request is answered with 504; `X-Deadline-Ms` shortens it for one request."""

    stall_seconds: float = Field(default=120.0, gt=0)
    """A batch that takes longer turns `/livez` red, so that the process is restarted."""

    poll_seconds: float = Field(default=5.0, gt=0)
    """How often the registry is asked who the champion is."""

    shadow_rate: float = Field(default=0.0, ge=0, le=1)
    """Share of the texts that the `challenger` classifies too, in time that no request needs; how often it agrees
    stands in `/model` and in the metrics. Its answers are neither sent nor logged."""

    canary_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the requests that the `challenger` answers instead, said in `model`; the same `X-Sticky-Key` gets the
    same model every time. Only a challenger with the champion's labels answers."""

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
    def keys(self) -> tuple[bytes, ...]:
        """The accepted keys; empty when everybody may classify."""
        if self.api_keys is None:
            return ()
        parts = (part.strip() for part in self.api_keys.get_secret_value().split(","))
        return tuple(part.encode() for part in parts if part)

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
