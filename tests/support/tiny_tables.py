"""A table that is filled in seconds: two rows, one drawn source, a seen and two unseen columns, one of them the mean of two splits."""

from dataclasses import replace
from typing import Any

from snreid.studies.paper_tables import PaperTable, Published
from snreid.studies.plan import Row
from snreid.studies.protocols import Benchmark, Budget, Case, Protocol, single
from support.tiny import drawn, experiment


def tiny(*, absent: bool = True) -> Protocol:
    """Noon to dusk and to two splits of night; a second case whose source is not on any machine."""
    from snreid.datasets import Market1501

    splits = Benchmark(name="night", targets=(drawn("night"), drawn("night", seed=1, people="noon")))
    benchmarks = (single(drawn("dusk")), splits, single(drawn("noon")))
    here = Case(name="here", sources=(drawn(),), benchmarks=benchmarks, small=Budget(epochs=2, batches_per_epoch=1))
    away = Case(name="away", sources=(Market1501(),), benchmarks=(single(drawn("dusk")),))
    return Protocol(name="tiny", about="for tests", cases=(here, away) if absent else (here,))


def rows(*names: str) -> tuple[Row, ...]:
    """Recipes at the size of ``tiny.experiment``."""
    made = {name: experiment(name, sources=()) for name in names}
    return tuple(Row(name=name, label=name.upper(), make=lambda preset, name=name: made[name]) for name in names)


def adapted(start: str, method: str) -> Row:
    """A row of ``rows``, adapted to every unseen target."""
    (row,) = rows(start)
    return Row(name=f"{start}-{method}", label=f"{row.label} + {method}", make=row.make, adaptation=method, start=start)


def tiny_table(**changes: Any) -> PaperTable:
    """Baseline and SNR with one published number."""
    table = PaperTable(
        name="tiny",
        title="A tiny table",
        rows=rows("baseline", "snr"),
        settings={"tiny": tiny()},
        published={
            ("snr", "here", "dusk"): Published(50.0, None, "SNR"),
            ("snr", "away", "dusk"): Published(33.6, 55.1, "SNR"),
        },
        order=("baseline", "snr"),
    )
    return replace(table, **changes)
