"""Tables are data: rows that are what they say, published numbers with their source, and nothing invented."""

import inspect
import re
from dataclasses import replace

import pytest

from snreid.adaptation import methods
from snreid.errors import ExperimentError
from snreid.experiments import recipes
from snreid.losses import DualCausality
from snreid.models.schemes import StageSNR
from snreid.studies.paper_tables import PaperTable, Published, Row, tables
from snreid.studies.protocols import drawn


def table(name: str) -> PaperTable:
    return next(one for one in tables() if one.name == name)


def test_rows_of_one_name_are_one_experiment_in_every_table() -> None:
    found = {}
    for one in tables():
        for row in one.rows:
            for preset in ("small", "short"):
                key = row.name, preset
                assert found.setdefault(key, row.experiment(preset)) == row.experiment(preset)
                assert row.experiment(preset).recipe == (row.start or row.name)
    labels = {row.name: row.label for one in tables() for row in one.rows}
    assert all(labels[row.name] == row.label for one in tables() for row in one.rows)


def test_rows_of_two_names_are_two_experiments() -> None:
    """But for the places: under the presets of the paper SNR sits after all stages."""
    rows = {row.name: row for one in tables() for row in one.rows}
    made = [(str(replace(row.experiment("small"), recipe="x")), row.adaptation) for row in rows.values()]
    assert len(set(made)) == len(rows)


def test_an_adapted_row_starts_from_a_row_of_its_table_and_by_a_method_that_exists() -> None:
    rows = {row.name: row for row in table("adaptation").rows}
    adapted = [row for row in rows.values() if row.adaptation]
    assert {row.adaptation for row in adapted} == set(methods())
    for row in adapted:
        assert row.experiment("small") == rows[row.start].experiment("small")


def test_the_main_comparison_is_the_papers_seven_rows() -> None:
    rows = table("main").rows
    assert [row.name for row in rows][:7] == list(recipes.all_recipes())[:7]
    assert all(row.experiment("paper") == recipes.all_recipes()[row.name]("paper") for row in rows)


def causality(row: Row) -> list[DualCausality]:
    return [loss for loss in row.experiment("small").losses if isinstance(loss, DualCausality)]


def test_the_rows_of_the_loss_differ_from_snr_in_the_loss_alone() -> None:
    rows = {row.name: row for row in table("loss").rows}
    plain = recipes.snr("small")
    assert not causality(rows["snr-no-loss"]) and not causality(rows["baseline"])
    terms = {name: (found[0].terms, found[0].compare) for name, row in rows.items() if (found := causality(row))}
    assert terms == {
        "snr-only-clarification": ("clarification", True),
        "snr-only-destruction": ("destruction", True),
        "snr-no-comparison": ("both", False),
        "snr": ("both", True),
    }
    assert all(rows[name].experiment("small").model == plain.model for name in terms)


def scheme(row: Row) -> StageSNR:
    found = row.experiment("short").model.scheme
    assert isinstance(found, StageSNR)
    return found


def test_the_rows_of_places_and_gates_differ_from_snr_in_these_alone() -> None:
    stages = {row.name: scheme(row) for row in table("stages").rows if row.name != "baseline"}
    assert {name: one.stages for name, one in stages.items()} == {
        **{f"snr-stage-{n}": (n,) for n in (1, 2, 3, 4)},
        "snr-all-stages": (1, 2, 3, 4),
        "snr": (1, 2, 3, 4),
    }
    gates = {row.name: scheme(row) for row in table("residual").rows if row.name != "baseline"}
    assert {one.gate for one in gates.values()} == {"channel", "two_gates", "conv", "spatial", "channel_spatial"}
    pools = {row.name: scheme(row).pool for row in table("pooling").rows}
    assert pools == {"snr-no-loss": "mean", "snr": "mean", "snr-pool-relu": "relu", "snr-pool-gem": "gem"}
    for one in (*stages.values(), *gates.values()):
        assert replace(one, stages=(1,), gate="channel") == StageSNR(stages=(1,))


def test_every_published_number_names_a_known_source() -> None:
    keys = set(re.findall(r"\b([A-Z]{2,4}) = ", inspect.getdoc(inspect.getmodule(PaperTable)) or ""))
    for one in tables():
        for cell, found in one.published.items():
            assert found.source in keys, cell
            assert all(value is None or 0 < value < 100 for value in (found.mean_ap, found.rank1))
            assert found.mean_ap is not None or found.rank1 is not None


def test_the_headline_numbers_are_there() -> None:
    found = table("main").published
    assert found["snr", "market1501-to-dukemtmc", "dukemtmc"] == Published(33.6, 55.1, "SNR")
    assert found["snr", "dukemtmc-to-market1501", "market1501"] == Published(33.9, 66.7, "SNR")


def test_a_number_for_a_cell_that_the_table_does_not_have_is_refused() -> None:
    rows = table("main").rows
    with pytest.raises(ExperimentError, match="its own rows and columns"):
        PaperTable(
            name="x",
            title="x",
            rows=rows,
            settings={"drawn": drawn()},
            published={("snr", "drawn", "mars"): Published(1, 2, "SNR")},
        )
    with pytest.raises(ExperimentError, match="its own rows and columns"):
        PaperTable(name="x", title="x", rows=rows, settings={"drawn": drawn()}, order=("snr", "nobody"))
    with pytest.raises(ExperimentError, match="each row once"):
        PaperTable(name="x", title="x", rows=(*rows, rows[0]), settings={"drawn": drawn()})


def test_what_others_print_of_methods_that_can_be_trained_here_stands_under_their_rows() -> None:
    found = table("generalization")
    assert found.published["bau", "p2-market1501", "market1501"] == Published(77.1, 90.4, "RN")
    assert found.published["snr", "p2-market1501", "market1501"] == Published(34.6, 62.7, "RN")
    assert {row for row, _, _ in found.published} < {row.name for row in found.rows}
