"""Protocols are lists of values: the right sources, the right targets, nothing read."""

from dataclasses import replace
from pathlib import Path

import pytest

from snreid.datasets import CUHK03, CUHKSYSU, GRID, AllImages, Corrupted, DukeMTMC, Market1501, VIPeR
from snreid.errors import ExperimentError
from snreid.experiments.experiment import Experiment
from snreid.studies.protocols import (
    Case,
    both_ways,
    drawn,
    leave_one_out,
    market_cuhk03,
    protocol_2,
    protocol_3,
    protocols,
    single_source,
    with_withdrawn,
)
from support import tiny


def names(case: Case) -> tuple[list[str], list[str]]:
    return [source.name for source in case.sources], [column.name for column in case.benchmarks]


def cases(name: str) -> tuple[Case, ...]:
    return next(protocol for protocol in protocols() if protocol.name == name).cases


def test_every_protocol_has_a_name_of_its_own_and_so_has_every_case() -> None:
    known = [protocol.name for protocol in protocols()]
    assert len(set(known)) == len(known)
    for protocol in protocols():
        found = [case.name for case in protocol.cases]
        assert protocol.about and found and len(set(found)) == len(found)


def test_single_source_scores_the_target_and_the_sources_own_test_people() -> None:
    (case,) = single_source(Market1501(), CUHK03()).cases
    assert names(case) == (["market1501"], ["cuhk03-detected", "market1501"])
    assert [case.seen(column) for column in case.benchmarks] == [False, True]


def test_what_other_boxes_of_a_seen_camera_show_is_seen() -> None:
    (case,) = single_source(CUHK03(), CUHK03(boxes="labelled")).cases
    assert [case.seen(column) for column in case.benchmarks] == [True, True]


def test_both_ways_is_each_once_the_source() -> None:
    found = market_cuhk03().cases
    assert [names(case)[0] for case in found] == [["market1501"], ["cuhk03-detected"]]
    assert [case.name for case in found] == ["market1501-to-cuhk03-detected", "cuhk03-detected-to-market1501"]
    assert both_ways(tiny.drawn("noon"), tiny.drawn("dusk")).name == "noon-and-dusk"


def test_drawn_is_seven_domains_of_which_two_are_seen() -> None:
    (case,) = drawn().cases
    assert names(case) == (["noon", "overcast"], ["dusk", "mall", "station", "garage", "night", "noon", "overcast"])
    assert [case.seen(column) for column in case.benchmarks] == [False] * 5 + [True] * 2


def test_p1_trains_on_all_images_and_tests_on_ten_splits_of_four_sets() -> None:
    (case,) = cases("p1")
    assert names(case) == (
        ["market1501@all", "cuhk02", "cuhk03-detected@all", "cuhk-sysu"],
        ["prid2011", "grid", "viper", "ilids"],
    )
    assert all(len({target.name for target in column.targets}) == 10 for column in case.benchmarks)
    assert not any(case.seen(column) for column in case.benchmarks)


def test_p2_and_p3_leave_one_out_and_cuhk_sysu_is_never_the_target() -> None:
    two, three = protocol_2().cases, protocol_3().cases
    assert [names(case)[1] for case in two] == [["cuhk03-detected"], ["msmt17"], ["market1501"]]
    assert names(two[2])[0] == ["cuhk03-detected", "msmt17", "cuhk-sysu"]
    assert names(three[2])[0] == ["cuhk03-detected@all", "msmt17@all", "cuhk-sysu"]
    assert [case.name for case in three] == ["p3-cuhk03-detected", "p3-msmt17", "p3-market1501"]


def test_the_older_leave_one_out_has_four_targets() -> None:
    assert [len(case.sources) for case in cases("leave-one-out")] == [3, 3, 3, 3]


def test_nobody_gets_withdrawn_data_without_having_said_so() -> None:
    (case, _) = cases("paper")
    assert DukeMTMC() in [target for column in case.benchmarks for target in column.targets]
    opted = with_withdrawn(replace(case, sources=(*case.sources, AllImages(of=DukeMTMC()))))
    assert opted.benchmarks[0].targets == (DukeMTMC(withdrawn_ok=True),)
    assert opted.sources == (Market1501(), AllImages(of=DukeMTMC(withdrawn_ok=True)))
    assert with_withdrawn(cases("p1")[0]) == cases("p1")[0]
    dark = single_source(Market1501(), Corrupted(of=DukeMTMC(), corruption="dark")).cases[0]
    assert with_withdrawn(dark).benchmarks[0].targets[0] == Corrupted(of=DukeMTMC(withdrawn_ok=True), corruption="dark")


def test_a_group_without_a_target_is_refused() -> None:
    with pytest.raises(ExperimentError, match="at least two"):
        leave_one_out("x", (Market1501(),))
    with pytest.raises(ExperimentError, match="a target"):
        leave_one_out("x", (Market1501(), CUHKSYSU()), never_targets=(Market1501(), CUHKSYSU()))


def test_an_experiment_on_any_protocols_sources_goes_to_json_and_back(tmp_path: Path) -> None:
    for protocol in protocols():
        for case in protocol.cases:
            experiment = Experiment(sources=case.sources)
            assert Experiment.from_json(experiment.to_json()) == experiment


def test_a_source_that_is_its_own_target_is_one_column() -> None:
    (case,) = single_source(tiny.drawn(), tiny.drawn(test_persons=2)).cases
    assert names(case) == (["noon"], ["noon"]) and case.seen(case.benchmarks[0])


def test_from_a_to_a_set_of_splits_is_the_mean_of_all_ten_where_that_is_asked() -> None:
    whole = single_source(Market1501(), VIPeR(), all_splits=True)
    (case,) = whole.cases
    assert whole.name == case.name == "market1501-to-viper" and names(case)[1] == ["viper", "market1501"]
    assert [target.name for target in case.benchmarks[0].targets] == [f"viper-split{k}" for k in range(10)]
    released = single_source(Market1501(), GRID(partition="released"), all_splits=True).cases[0]
    assert (
        released.benchmarks[0].name == "grid-released" and len({t.name for t in released.benchmarks[0].targets}) == 10
    )
    (single,) = single_source(Market1501(), VIPeR(split=3)).cases
    assert single.name == "market1501-to-viper-split3"
    (own,) = single_source(VIPeR(), VIPeR(), all_splits=True).cases
    assert names(own)[1] == ["viper-split0"], "the people of another split are trained on"
