"""Products of one thread while anybody holds them, and as many as before afterwards, however holders overlap."""

import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from snreid.evaluation.exact.threads import in_order, products_alone, threads


def of_numpy() -> int:
    np.ones((2, 2)) @ np.ones((2, 2))
    return max(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")


def test_products_take_one_thread_each_until_the_last_holder_leaves() -> None:
    with threadpool_limits(2, user_api="blas"):
        first, second = products_alone(), products_alone()
        first.__enter__()
        assert of_numpy() == 1
        second.__enter__()
        first.__exit__(None, None, None)
        assert of_numpy() == 1
        second.__exit__(None, None, None)
        assert of_numpy() == 2


def test_an_error_inside_restores_too() -> None:
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(KeyError), products_alone():
            raise KeyError
        assert of_numpy() == 2


def test_the_environment_says_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for cores, wanted in ((5, 5), (64, 16)):
        monkeypatch.setattr("snreid.evaluation.exact.threads.usable_cores", lambda cores=cores: cores)
        assert threads() == wanted
    for said, wanted in (("1", 1), ("3", 3), ("64", 16), ("0", 1), ("4,2", 4), ("many", 16)):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert threads() == wanted
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    assert threads() == 2
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    assert threads() == 7


def test_what_is_made_comes_in_order_and_only_a_little_ahead() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        time.sleep(0.02 if item % 2 else 0.0)
        return item * item

    made = in_order(work, range(20), 3)
    assert next(made) == 0 and max(begun) <= 4
    assert list(made) == [i * i for i in range(1, 20)]
    assert list(in_order(work, range(3), 1)) == [0, 1, 4]


def test_an_error_in_a_thread_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda item: 1 // item, [2, 1, 0, 1], 2))
