"""The real BBC data, read and divided once for all tests of this folder."""

import pytest

from training.data import DataConfig, LoadedData, Splits, load_data, split_data

SEED = 7


@pytest.fixture(scope="session")
def bbc() -> LoadedData:
    return load_data(DataConfig(), SEED)


@pytest.fixture(scope="session")
def bbc_splits(bbc: LoadedData) -> Splits:
    return split_data(bbc, DataConfig(), SEED)
