"""How many workers WORKERS asks for, and their threads."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from service.settings import ServiceSettings
from service.workers.plan import BYTES_PER_WORKER, memory_limit, plan

PLENTY = 64 * BYTES_PER_WORKER


@pytest.mark.parametrize(
    ("threads", "settings", "memory", "expected"),
    [
        (1, {}, PLENTY, (1,)),
        (2, {}, PLENTY, (2,)),
        (5, {}, PLENTY, (3, 2)),
        (16, {}, PLENTY, (2,) * 8),
        (16, {}, 3 * BYTES_PER_WORKER, (6, 5, 5)),
        (16, {}, BYTES_PER_WORKER // 2, (16,)),
        (16, {"device": "cuda"}, PLENTY, (16,)),
        (16, {"workers": 1}, PLENTY, (16,)),
        (7, {"workers": 3}, BYTES_PER_WORKER, (3, 2, 2)),
        (2, {"workers": 4}, PLENTY, (1, 1, 1, 1)),
    ],
)
def test_cores_are_divided_among_the_workers(threads, settings, memory, expected):
    found = plan(ServiceSettings(threads=threads, **settings), memory=memory)
    assert found.threads == expected
    assert found.count == len(expected)


def test_the_memory_limit_is_at_most_the_machines():
    assert 0 < memory_limit() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize("workers", ["0", "-1", "many", "257"])
def test_workers_must_be_a_number_or_auto(workers):
    with pytest.raises(ValidationError):
        ServiceSettings(workers=workers)
    assert ServiceSettings(workers="2").workers == 2
    assert ServiceSettings(workers="auto").workers == "auto"
