"""``snreid data``: checks data sets, lists their names, makes synthetic ones."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, Union

import tyro
from rich.console import Console

from snreid.cli import Terminated
from snreid.cli.flags import Json, flag, parse, pick
from snreid.cli.machine import DataFolder
from snreid.cli.names import HELP, dataset_named, known_names, known_wrappers, wrapper_forms
from snreid.errors import ExperimentError
from snreid.system.atomic_files import atomic_write, require_writable
from snreid.system.machine import data_root
from snreid.system.progress import counting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from snreid.datasets import RenderedPeople
    from snreid.records import DataSet

_HELP = """\
usage: snreid data VERB ...

Check data sets on disk, list their names, and make synthetic ones.

  check NAME...       compare a data set with its published counts
  list                list the names of data sets
  make FOLDER         draw or render people in Market-1501's folder format
  sheet FILE.png      show the same people in every domain, side by side
  crop-sysu RELEASE FOLDER     cut the persons out of the frames of CUHK-SYSU

  snreid data VERB --help      what a verb does, with examples"""

_SHEET_ROWS, _SHEET_COLUMNS = 16, 8
"""Most people, and pictures of each, on a contact sheet of rendered people."""
_Seed: TypeAlias = Annotated[int, flag("random seed of people, cameras and moments", "N")]


@dataclass(frozen=True, kw_only=True)
class Check:
    """Compare data sets on disk with their published counts: images, persons,
    cameras, unreadable files, persons in training and test. Exit code 1 if they
    differ.

    Examples:
      snreid data check market1501
      snreid data check market1501 cuhk03 --root /data/reid --no-decode
      snreid data check my-table.csv --json
    """

    name: Annotated[tyro.conf.Positional[tuple[str, ...]], flag("data sets, e.g. market1501 cuhk03", "NAME...")]
    decode: Annotated[bool, flag("do not open every image")] = True
    json: Annotated[bool, flag("print one JSON object for each")] = False
    root: DataFolder = field(default_factory=data_root)
    workers: Annotated[int, flag("threads that open images", "N")] = 2


@dataclass(frozen=True, kw_only=True)
class Make:
    """Write synthetic people in Market-1501's folder format: drawn pedestrians with
    a folder for each domain or, with --out, a data set of rendered people.

    Examples:
      snreid data make drawn
      snreid data make drawn --domain noon night --train-persons 50
      snreid data make people:persons=20 --out rendered
    """

    folder: Annotated[tyro.conf.Positional[Path], flag("new or empty folder; with --out, a data set", "FOLDER")]
    out: Annotated[Path | None, flag("new or empty folder for rendered people", "DIR")] = None
    domain: Annotated[tuple[str, ...], flag("domains to draw", "NAME", default="all")] = ()
    train_persons: Annotated[int, flag("people to train on, for each domain", "N")] = 200
    test_persons: Annotated[int, flag("people to test on, for each domain", "N")] = 100
    people: Annotated[str, flag("draw the people of this domain in all of them", "NAME", default="each its own")] = ""
    seed: _Seed = 0


@dataclass(frozen=True, kw_only=True)
class List:
    """List the names of data sets, and what may follow a name.

    Examples:
      snreid data list
      snreid data list --json
    """

    json: Json = False


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Draw a contact sheet of synthetic people: a row for each person, a column
    for each domain or, with --out, of a data set of rendered people.

    Examples:
      snreid data sheet sheet.png
      snreid data sheet sheet.png --domain noon night --persons 8
      snreid data sheet people:persons=8 --out people.png
    """

    file: Annotated[tyro.conf.Positional[Path], flag("picture to write; with --out, a data set", "FILE.png")]
    out: Annotated[Path | None, flag("picture of rendered people to write", "FILE.png")] = None
    domain: Annotated[tuple[str, ...], flag("domains to show", "NAME", default="all")] = ()
    persons: Annotated[int, flag("people to show", "N")] = 5
    seed: _Seed = 0


@dataclass(frozen=True, kw_only=True)
class CropSysu:
    """Cut the persons out of the frames of CUHK-SYSU. Existing crops are kept.

    Examples:
      snreid data crop-sysu downloads/CUHK-SYSU data/CUHK-SYSU/cropped_images
    """

    release: Annotated[tyro.conf.Positional[Path], flag("folder with annotation and Image/SSM", "RELEASE")]
    folder: Annotated[tyro.conf.Positional[Path], flag("folder to write to", "FOLDER")]
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run one of the subcommands."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_HELP)
        return 0
    kind, run = pick(VERBS, arguments[0], "A verb of snreid data", "see snreid data --help")
    return run(parse(kind, arguments[1:], f"snreid data {arguments[0]}"))


def _check(request: Check) -> int:
    from snreid.datasets import check

    good = True
    for name in request.name:
        with counting(Console(stderr=True), f"reading {name}") as progress:
            report = check(
                dataset_named(name, request.root),
                request.root,
                decode=request.decode,
                workers=request.workers,
                progress=progress,
            )
        print(report.to_json() if request.json else "\n".join(report.lines()))
        good = good and report.ok
    return 0 if good else 1


def _make(request: Make) -> int:
    from snreid.datasets.market_writer import write_market_format

    for number, (name, people, folder) in enumerate(_sets(request)):
        data = people.read(Path())
        try:
            with counting(Console(stderr=True), f"drawing {name}") as progress:
                write_market_format(data, folder, progress)
        except (KeyboardInterrupt, Terminated) as stop:  # the same command would refuse the finished folders
            rest = " ".join(name for name, _, _ in _sets(request)[number:])
            stop.add_note(f"start it again with --domain {rest} to draw the rest" if number else "nothing was written")
            raise
        print(f"{folder}: {len(data.train)} train, {len(data.query)} query, {len(data.gallery)} gallery images")
    return 0


def _sets(request: Make) -> "list[tuple[str, DataSet, Path]]":
    """The data sets to make: their names, sources and folders."""
    from snreid.datasets import DrawnPedestrians
    from snreid.synthetic.pedestrians import DOMAINS

    if request.out is not None:
        return [(str(request.folder), _people_named(str(request.folder)), request.out)]
    drawn = DrawnPedestrians(
        train_persons=request.train_persons,
        test_persons=request.test_persons,
        people=request.people,
        seed=request.seed,
    )
    names = request.domain or tuple(domain.name for domain in DOMAINS)
    return [(name, replace(drawn, domain=name), request.folder / name) for name in names]


def _sheet(request: Sheet) -> int:
    from PIL import Image

    from snreid.synthetic.pedestrians import DOMAINS, domain_named
    from snreid.synthetic.pedestrians.sheet import contact_sheet

    file = request.out or request.file
    if file.suffix.lower() != ".png":
        raise ExperimentError("A contact sheet is a PNG file", found=str(file), fix="end its name in .png")
    require_writable(file)
    if request.out is not None:
        sheet = _sheet_of(str(request.file))
    else:
        domains = tuple(domain_named(name) for name in request.domain) or DOMAINS
        sheet = contact_sheet(domains, persons=request.persons, seed=request.seed)
    with atomic_write(file) as draft:
        Image.fromarray(sheet).save(draft, "PNG")
    print(file)
    return 0


def _sheet_of(name: str) -> "NDArray[np.uint8]":
    """Rendered people, a row for each."""
    from snreid.datasets import RenderedImage
    from snreid.synthetic.people.sheet import people_sheet

    data = _people_named(name).read(Path())
    samples = data.train.samples or data.gallery.samples
    images = [sample.image for sample in samples if isinstance(sample.image, RenderedImage)]
    labels = sorted({image.label for image in images})[:_SHEET_ROWS]
    rows = [[image for image in images if image.label == label] for label in labels]
    step = max(1, len(rows[0]) // _SHEET_COLUMNS)
    with counting(Console(stderr=True), "rendering") as progress:
        pictures = [[image.picture() for image in row[::step][:_SHEET_COLUMNS]] for row in rows]
        return people_sheet(pictures, progress=progress)


def _people_named(name: str) -> "RenderedPeople":
    """The rendered people of a name. Reads their body model first, with a progress bar if it must be built."""
    from snreid.datasets import RenderedPeople
    from snreid.synthetic.people.assets import body_model

    people = dataset_named(name)
    if not isinstance(people, RenderedPeople):
        raise ExperimentError(
            "Only rendered people are made by name", found=repr(name), fix="name people, as in people:persons=20"
        )
    with counting(Console(stderr=True), "reading the body model, once") as progress:
        body_model(progress)
    return people


def _crop_sysu(request: CropSysu) -> int:
    from snreid.datasets.cuhk_sysu_release import crop

    with counting(Console(stderr=True), "cutting persons out of frames") as progress:
        report = crop(request.release, request.folder, progress)
    print(report.to_json() if request.json else "\n".join(report.lines()))
    return 0 if report.ok else 1


def _list(request: List) -> int:
    names, wrappers = list(known_names()), list(known_wrappers())
    if request.json:
        print(json.dumps({"names": names, "wrappers": wrappers, "help": HELP}))
    else:
        print(f"{HELP}\nnames: {', '.join(names)}\nbehind an @: {wrapper_forms()}")
    return 0


VERBS: dict[str, tuple[type, Callable[[Any], int]]] = {
    "check": (Check, _check),
    "list": (List, _list),
    "make": (Make, _make),
    "sheet": (Sheet, _sheet),
    "crop-sysu": (CropSysu, _crop_sysu),
}
Request: Any = Union[tuple(Annotated[kind, tyro.conf.subcommand(verb)] for verb, (kind, _) in VERBS.items())]  # noqa: UP007
"""One of the subcommands, for ``snreid completion``."""
