"""Checks against foreign web pages: the header `Host` (DNS rebinding) and cross-origin requests (CORS)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request

from service.errors import MalformedRequest

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::[0-9]{1,5})?")
_PRIVATE = (".internal", ".local", ".localhost", ".svc")
_KNOWN = 256
"""Headers that are remembered; clients may send any number of names where keys are set."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


class HostCheck:
    """Checks the header `Host`: a browser sends the name in its address bar, so a foreign name that resolves to this
    service is detected.

    Args:
        allowed: names in lower case; `*.example.org` takes those under it, `*` all.
        needs_key: whether requests need a key, which a foreign page does not have.
    """

    def __init__(self, allowed: Sequence[str], *, needs_key: bool) -> None:
        self._allowed = frozenset(allowed)
        self._suffixes = tuple(name[1:] for name in allowed if name.startswith("*."))
        self._needs_key = needs_key
        self._known: set[tuple[bytes, str | None]] = set()
        """Headers that were answered, each with the address of the connection."""

    def check(self, scope: Mapping[str, Any]) -> None:
        """Whether a request of this ASGI scope is answered.

        Raises:
            MalformedRequest: its Host is missing, repeated, no host, or none that is answered.
        """
        given = [value for name, value in scope["headers"] if name == b"host"]
        if not given and scope["http_version"] == "1.0":
            return
        if len(given) != 1:
            raise MalformedRequest("a request has one header Host", code="invalid_host")
        server = scope.get("server")
        known = (given[0], str(server[0]) if server else None)
        if known in self._known:
            return
        found = _HOST.fullmatch(given[0].decode("latin-1").strip())
        if found is None or not self._answered(found[1].lower().rstrip("."), server):
            raise MalformedRequest(
                "the header Host names no host that this service answers for: set ALLOWED_HOSTS",
                code="invalid_host",
            )
        if len(self._known) < _KNOWN:
            self._known.add(known)

    def _answered(self, host: str, server: Sequence[Any] | None) -> bool:
        if "*" in self._allowed or host in self._allowed or host.endswith(self._suffixes or ("\0",)):
            return True
        if server and host.strip("[]") == str(server[0]):
            return True  # the address that was connected to, as probes and Prometheus send it
        if is_loopback(server):
            return host in _LOOPBACK
        if self._allowed:
            return False
        # The public name system has no such names, and an address cannot be rebound.
        private = "." not in host or host.endswith(_PRIVATE) or _is_address(host)
        return self._needs_key or private


def is_loopback(server: Sequence[Any] | None) -> bool:
    """Whether a connection came in on a loopback address, which only this machine reaches."""
    try:
        address = ipaddress.ip_address(str(server[0]).partition("%")[0]) if server else None
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and address.is_loopback


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


_HEADERS = "Authorization, Content-Type, X-API-Key, X-Deadline-Ms, X-Request-Id, X-Source, X-Sticky-Key"
_EXPOSED = "Retry-After, Server-Timing, X-Request-Id"
_SECONDS = "600"


class Cors:
    """Response headers for cross-origin requests; closed unless CORS_ORIGINS is set.

    Args:
        origins: those of CORS_ORIGINS; `*`: all.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self.origins = frozenset(origins)

    def add(self, request: Request, headers: MutableHeaders, allowed: str) -> None:
        """Put them into the headers of an answer.

        Args:
            request: what is answered.
            headers: of the answer.
            allowed: the methods of the path, as `Allow` lists them.
        """
        if not self.origins:
            return
        preflight = request.method == "OPTIONS" and "access-control-request-method" in request.headers
        varies = ["Origin"]
        if preflight:
            varies += ["Access-Control-Request-Method", "Access-Control-Request-Headers"]
        headers["Vary"] = ", ".join(varies)
        origin = request.headers.get("origin")
        if origin is None or not self.origins & {origin, "*"}:
            return
        headers["Access-Control-Allow-Origin"] = "*" if "*" in self.origins else origin
        if preflight:
            headers["Access-Control-Allow-Methods"] = allowed
            headers["Access-Control-Allow-Headers"] = _HEADERS
            headers["Access-Control-Max-Age"] = _SECONDS
        else:
            headers["Access-Control-Expose-Headers"] = _EXPOSED
