"""A table that is filled in seconds: two rows, one drawn source, a seen and two unseen columns, one of them the mean of two splits."""

from dataclasses import dataclass, replace
from typing import Any

from snreid.studies.paper_tables import Published, Row, Table
from snreid.studies.protocols import Budget, Case, Column, Protocol, one
from tiny import drawn, experiment


@dataclass(frozen=True, kw_only=True)
class Tiny(Protocol):
    """Noon to dusk and to two splits of night; a second case whose source is not on any machine."""

    absent: bool = True

    @property
    def name(self) -> str:
        """``tiny``."""
        return "tiny"

    @property
    def about(self) -> str:
        """In words."""
        return "for tests"

    def cases(self) -> tuple[Case, ...]:
        """Two, or one."""
        from snreid.datasets import Market1501

        splits = Column(name="night", targets=(drawn("night"), drawn("night", seed=1, people="noon")))
        columns = (one(drawn("dusk")), splits, one(drawn("noon")))
        here = Case(name="here", sources=(drawn(),), columns=columns, small=Budget(epochs=2, batches_per_epoch=1))
        away = Case(name="away", sources=(Market1501(),), columns=(one(drawn("dusk")),))
        return (here, away) if self.absent else (here,)


def rows(*names: str) -> tuple[Row, ...]:
    """Recipes at the size of ``tiny.experiment``."""
    made = {name: experiment(name, sources=()) for name in names}
    return tuple(Row(name=name, label=name.upper(), make=lambda preset, name=name: made[name]) for name in names)


def adapted(start: str, method: str) -> Row:
    """A row of ``rows``, adapted to every unseen target."""
    (row,) = rows(start)
    return Row(name=f"{start}-{method}", label=f"{row.label} + {method}", make=row.make, adaptation=method, start=start)


def tiny_table(**changes: Any) -> Table:
    """Baseline and SNR with one published number."""
    table = Table(
        name="tiny",
        title="A tiny table",
        rows=rows("baseline", "snr"),
        settings={"tiny": Tiny()},
        published={
            ("snr", "here", "dusk"): Published(50.0, None, "SNR"),
            ("snr", "away", "dusk"): Published(33.6, 55.1, "SNR"),
        },
        order=("baseline", "snr"),
    )
    return replace(table, **changes)
