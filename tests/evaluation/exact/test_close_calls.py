"""Matches know their scores to float64, and count by scores or keys the same."""

import numpy as np
import pytest

from snreid.evaluation.exact import close_calls as undecided
from snreid.evaluation.exact.close_calls import Matches
from snreid.evaluation.exact.ranking import Block, match_ranks
from snreid.evaluation.exact.relevance import relevance
from snreid.evaluation.exact.similarity import Cosine, Euclidean, Similarity, quick_squared_lengths, squared_lengths
from snreid.records import Features

BOTH = pytest.mark.parametrize("compare", [Cosine(), Euclidean()], ids=["cosine", "euclidean"])


def matches_of(query: Features, gallery: Features, compare: Similarity) -> Matches:
    labels = relevance(query, gallery)
    asked = np.argsort(query.persons, kind="stable")
    asked = asked[[len(labels.matches(index)) > 0 for index in asked.tolist()]]
    lengths = (quick_squared_lengths(features.embeddings) for features in (query, gallery))
    return Matches.of(asked, labels.pairs(asked), labels, compare, *lengths)


@BOTH
def test_scores_are_those_of_the_keys(compare: Similarity, crowd: tuple[Features, Features]) -> None:
    query, gallery = crowd
    found = matches_of(query, gallery, compare)
    squared = squared_lengths(query.embeddings)
    for row, index in enumerate(found.queries.tolist()):
        mine = found.row == row
        wanted = relevance(query, gallery).matches(index)
        assert sorted(found.position[mine].tolist()) == wanted.tolist()
        assert (np.diff(found.score[mine]) >= 0).all() and found.starts[row] == np.flatnonzero(mine)[0]
        keys = compare.keys(query.embeddings[index], gallery.embeddings, found.position[mine])
        np.testing.assert_allclose(found.score[mine], compare.scores(keys, float(squared[index])), rtol=1e-11)
    assert (found.low < found.score).all() and (found.score < found.high).all() and (found.margin > 0).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_second_look_changes_no_rank(
    metric: str, crowd: tuple[Features, Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    keys = Similarity.pair_keys

    def counted(self: Similarity, *arguments: object) -> object:
        asked.append(len(arguments[1]))  # type: ignore[arg-type]
        return keys(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Similarity, "pair_keys", counted)
    crowd[1].embeddings[500:] = crowd[1].embeddings[:100]
    found = {}
    for worth in (1, 10_000):
        monkeypatch.setattr(undecided, "_WORTH_A_LOOK", worth)
        found[worth] = [ranks.tolist() for ranks in match_ranks(*crowd, metric=metric, block=Block(gallery=90))]
        found[worth].append(sum(asked))  # type: ignore[arg-type]
        asked.clear()
    assert found[1][:-1] == found[10_000][:-1]
    assert 0 < found[1][-1] < found[10_000][-1]  # type: ignore[operator]
