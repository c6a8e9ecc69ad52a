"""Which requests the challenger answers: a set share of the keys, and the same keys every time."""

from __future__ import annotations

from hashlib import blake2b

_ALL = 2**64


def chosen(key: str, challenger_id: str, share: float) -> bool:
    """Whether the request with `key` belongs to the `share` (0 to 1) of keys that the challenger answers.

    The same key gets the same answer as long as the challenger is the same; a larger share keeps the keys that a
    smaller one had. With another challenger other keys are chosen, so that it is not always the same clients.
    """
    digest = blake2b(f"{challenger_id}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * _ALL
