"""A small, complete report from made-up scores and drawn images, and a strict reader of HTML."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
from numpy.typing import NDArray

from snreid.figures.page import ENVIRONMENT
from snreid.figures.rank_lists import RankExample
from snreid.figures.report_page import Report
from snreid.figures.run_details import RunDetails
from snreid.figures.score_table import SchemeResult, ScoredDomain
from snreid.records import RankList, Sample, Scores, Split

EMPTY = {"meta", "img", "br", "hr", "link", "input", "col"}
QUERIES = 40
HOSTILE = "<script>alert(\"x\")</script> & 'quoted' </style></title>"


@dataclass(frozen=True)
class Patch:
    """An image that a test can recognise: one colour per person, darker by camera."""

    name: str
    person: int
    camera: int

    def read(self) -> NDArray[np.uint8]:
        colour = np.random.default_rng(self.person).integers(60, 255, 3) // self.camera
        return np.tile(colour.astype(np.uint8), (64, 32, 1))


def split(people: int, cameras: tuple[int, ...]) -> Split:
    """Every person once on every camera."""
    return Split(
        tuple(
            Sample(Patch(f"{person}-{camera}", person, camera), person, camera)
            for person in range(1, people + 1)
            for camera in cameras
        )
    )


def made_up_scores(level: float, seed: int, *, queries: int = QUERIES, skipped: int = 2) -> Scores:
    """Scores around ``level`` with a few queries that have no match."""
    rng = np.random.default_rng(seed)
    valid = queries - skipped
    precision = np.clip(rng.normal(level, 0.2, valid), 0.01, 1.0)
    first = np.where(rng.random(valid) < level, 1, rng.integers(2, 30, valid))
    return Scores(
        precision, precision / 2, first.astype(np.int64), np.arange(valid) + skipped, queries, np.arange(valid)
    )


def rank_list(query: int, seed: int, gallery: int) -> RankList:
    """Ten entries of all three kinds."""
    rng = np.random.default_rng(seed)
    verdict = ("right", "wrong", "ignored", *rng.choice(["right", "wrong"], 7))
    return RankList(
        query,
        rng.permutation(gallery)[:10].astype(np.int64),
        np.sort(rng.random(10))[::-1].astype(np.float32),
        tuple(str(v) for v in verdict),
    )


def make_report(*, domain: str = "evening street", seeds: int = 1) -> Report:
    """Three schemes on one seen and two unseen domains; ``domain`` names one of these."""
    domains = ("studio", domain, "night")
    levels = {"Baseline": (0.85, 0.5, 0.3), "Baseline-IN": (0.8, 0.55, 0.35), "SNR": (0.84, 0.65, 0.45)}
    schemes = tuple(
        SchemeResult(
            name=name,
            scores={
                where: tuple(made_up_scores(level, 100 * run + 10 * row + column) for run in range(seeds))
                for column, (where, level) in enumerate(zip(domains, wanted, strict=True))
            },
            description=f"What {name} is",
        )
        for row, (name, wanted) in enumerate(levels.items())
    )
    query, gallery = split(10, (1,)), split(10, (1, 2))
    lists = (("Baseline", rank_list(3, 1, len(gallery))), ("SNR", rank_list(3, 2, len(gallery))))
    settings = {"optim": {"lr": 0.00035}, "losses": [{"kind": "Triplet", "margin": 0.3}], "stages": [1, 2]}
    return Report(
        title="Three schemes",
        trained_on="200 people of studio",
        domains=tuple(
            ScoredDomain(name=name, seen=name == "studio", description=f"About {name}", samples=gallery.samples[:4])
            for name in domains
        ),
        schemes=schemes,
        examples=(RankExample(domain=domain, query=query, gallery=gallery, lists=lists, reason="The first one"),),
        runs=tuple(
            RunDetails(
                name=name,
                settings={**settings, "norm": name},
                versions={"torch": "2.15"},
                seeds=(0,),
                seconds=75.0,
                commands=(f"snreid train {name}",),
            )
            for name in levels
        ),
        notes=("A note",),
        made="today",
    )


@dataclass
class Node:
    """An element with what stands in it."""

    name: str
    attributes: dict[str, str | None]
    children: list["Node | str"] = field(default_factory=list)

    @property
    def source(self) -> str:
        """All text inside, as the file has it."""
        return "".join(child if isinstance(child, str) else child.source for child in self.children)

    @property
    def text(self) -> str:
        """All text inside, white space collapsed as a browser does."""
        return re.sub("[ \n]+", " ", self.source).strip(" ")

    def all(self, name: str, class_: str = "") -> list["Node"]:
        """Every element of the name (and class) below this one, in order."""
        nodes = []
        for child in self.children:
            if isinstance(child, Node):
                if child.name == name and (not class_ or class_ in (child.attributes.get("class") or "").split()):
                    nodes.append(child)
                nodes += child.all(name, class_)
        return nodes

    def part(self, heading: str) -> "Node":
        """The section of a page with this heading."""
        (section,) = (part for part in self.all("section") if part.all("h2")[0].text == heading)
        return section


class StrictReader(HTMLParser):
    """Reads HTML and refuses what a browser would silently mend: a wrong, missing or second closing tag."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice: {names}"
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in EMPTY:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"</{tag}> closes <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_html(text: str) -> Node:
    """The tree of a page. Fails where the nesting is wrong."""
    reader = StrictReader()
    reader.feed(text)
    reader.close()
    assert reader.open == [reader.root], f"never closed: {[node.name for node in reader.open[1:]]}"
    return reader.root


def every(node: Node) -> list[Node]:
    """The element and all below it."""
    return [node, *(n for child in node.children if isinstance(child, Node) for n in every(child))]


def render(source: str, **values: object) -> Node:
    """The tree of a template that may use the macros of ``parts`` and ``charts``."""
    imports = '{% import "parts.html.j2" as parts %}{% import "charts.html.j2" as charts %}'
    return read_html(ENVIRONMENT.from_string(imports + source).render(**values))
