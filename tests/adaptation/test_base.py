"""Adaptation methods as values: known by name, written as JSON, recognized in what an older version wrote."""

from dataclasses import replace

import pytest

from snreid.adaptation import MAR, Adaptation, AdaptiveBN, ClusterContrast, methods
from snreid.errors import ExperimentError
from support.tiny import experiment


def test_methods_are_known_by_their_names() -> None:
    assert methods() == {"adaptive-bn": AdaptiveBN, "clustering": ClusterContrast, "mar": MAR}


@pytest.mark.parametrize("kind", [AdaptiveBN, ClusterContrast, MAR])
def test_a_method_starts_with_the_seed_of_the_run_and_goes_to_json_and_back(kind: type[Adaptation]) -> None:
    method = kind.for_experiment(experiment(seed=7))
    assert method.seed == 7 and Adaptation.from_json(method.to_json()) == method


@pytest.mark.parametrize("kind", [AdaptiveBN, ClusterContrast, MAR])
def test_json_of_an_older_version_with_fewer_fields_is_the_same_method(kind: type[Adaptation]) -> None:
    method = replace(kind(), seed=4)
    stored = method.to_json()
    assert method.is_in(stored) and not kind().is_in(stored) and not method.is_in(None)
    del stored[next(name for name in stored if name not in ("kind", "seed"))]
    assert method.is_in(stored) and not method.is_in({"kind": "Unknown"})


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_cannot_be_is_refused(seed: int) -> None:
    with pytest.raises(ExperimentError, match="--seed 0"):
        AdaptiveBN(seed=seed)
