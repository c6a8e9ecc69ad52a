"""Token buckets, and the memory of wrong keys, by a clock that the test turns."""

from __future__ import annotations

import pytest

from service.api_keys import FailedKeys, TokenBucket


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_is_refilled_over_a_minute():
    time = Time()
    bucket = TokenBucket(6, time)
    assert [bucket.take() for _ in range(6)] == [0] * 6
    assert bucket.take() == pytest.approx(10)
    time.now += 9.9
    assert bucket.take() == pytest.approx(0.1)
    time.now += 0.2
    assert bucket.take() == 0
    time.now += 3600
    assert bucket.take(6) == 0, "never more than the capacity, and never less after an hour"
    assert bucket.take(6) == pytest.approx(60)


def test_what_is_refused_takes_nothing():
    time = Time()
    bucket = TokenBucket(10, time)
    assert bucket.take(11) == float("inf")
    assert bucket.take(8) == 0
    assert bucket.take(3) == pytest.approx(6)
    assert bucket.take(2) == 0


def test_wrong_keys_are_counted_by_address():
    time = Time()
    failed = FailedKeys(time)
    for _ in range(20):
        assert failed.wait("10.0.0.1") == 0
        failed.note("10.0.0.1")
    assert failed.wait("10.0.0.1") == pytest.approx(3)
    assert failed.wait("::ffff:10.0.0.1") == pytest.approx(3)
    assert failed.wait("10.0.0.2") == 0
    time.now += 3
    assert failed.wait("10.0.0.1") == 0


def test_a_client_cannot_escape_within_its_own_network_of_ipv6():
    failed = FailedKeys(Time())
    for number in range(20):
        failed.note(f"2001:db8:0:1::{number:x}")
    assert failed.wait("2001:db8:0:1:ffff::1") > 0
    assert failed.wait("2001:db8:0:2::1") == 0


def test_memory_is_bounded_and_the_oldest_address_is_forgotten():
    failed = FailedKeys(Time(), addresses=3)
    for address in ("1.0.0.1", "1.0.0.2", "1.0.0.3", "1.0.0.1", "1.0.0.4"):
        failed.note(address)
    assert len(failed) == 3
    for _ in range(18):
        failed.note("1.0.0.1")
    assert failed.wait("1.0.0.1") > 0, "the first address was heard of later than the second"
