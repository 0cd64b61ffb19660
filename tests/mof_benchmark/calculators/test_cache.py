"""Warm models: loaded once, shared, and let go in the order of their use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mof_benchmark.calculators.cache import ModelCache
from mof_benchmark.errors import ModelNotFoundError


def test_threads_asking_for_one_model_share_one_load(tmp_path: Path) -> None:
    cache = ModelCache(2, models_dir=tmp_path)
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: cache.load("sevennet_prod"), range(4)))
    assert all(potential is loaded[0] for potential in loaded)
    assert cache.names() == ["sevennet_prod"]


def test_the_least_recently_used_model_or_precision_leaves_first(tmp_path: Path) -> None:
    cache = ModelCache(2, models_dir=tmp_path)
    first = cache.load("sevennet_prod")
    cache.load("sevennet_prod_nod3")
    assert cache.load("sevennet_prod") is first
    assert cache.names() == ["sevennet_prod_nod3", "sevennet_prod"]
    double = cache.load("sevennet_prod", dtype="float64")
    assert (first.dtype, double.dtype) == ("float32", "float64")
    assert cache.names() == ["sevennet_prod"]
    assert cache.unload("sevennet_prod")
    assert not cache.unload("sevennet_prod")
    assert cache.names() == []


def test_room_is_made_by_dropping_every_other_model(tmp_path: Path) -> None:
    cache = ModelCache(2, models_dir=tmp_path)
    kept = cache.load("sevennet_prod")
    cache.load("sevennet_prod_nod3")
    assert cache.keep_only("sevennet_prod") == ["sevennet_prod_nod3"]
    assert cache.load("sevennet_prod") is kept


def test_the_model_that_is_kept_forgets_what_it_has_recorded(tmp_path: Path) -> None:
    cache = ModelCache(2, models_dir=tmp_path)
    cache.load("sevennet_prod")
    forgotten = []
    ((key, potential),) = cache._potentials.items()
    cache._potentials[key] = replace(potential, forget=lambda: forgotten.append(key.name))
    cache.keep_only("sevennet_prod")
    assert forgotten == ["sevennet_prod"]


def test_a_model_that_cannot_be_loaded_leaves_the_cache_as_it_was(tmp_path: Path) -> None:
    cache = ModelCache(1, models_dir=tmp_path)
    with pytest.raises(ModelNotFoundError):
        cache.load("no_such_model")
    assert cache.names() == []
