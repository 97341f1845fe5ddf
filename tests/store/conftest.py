"""One library for all tests of the store."""

from __future__ import annotations

import ctypes

import pytest

from tests.store.model import build


@pytest.fixture(scope="session")
def lib(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return build(tmp_path_factory.mktemp("store"))
