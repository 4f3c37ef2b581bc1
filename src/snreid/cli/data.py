"""``snreid data``: check what is on disk, draw pedestrians, show them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import tyro
from rich.console import Console

from snreid.cli.machine import DataFolder
from snreid.cli.order import require_names
from snreid.system.machine import data_root

if TYPE_CHECKING:
    from snreid.datasets import RenderedPeople

_HELP = """\
usage: snreid data check NAME... [--root DIR] [--no-decode] [--json]   hold a data set against its published counts
       snreid data make FOLDER [--domain noon ...]                     draw pedestrians into Market-1501's folder format
       snreid data make people:persons=20 --out FOLDER                 render people into the same format
       snreid data sheet FILE.png [--domain ...]                       the same people in every domain, side by side
       snreid data sheet people:persons=8 --out FILE.png               rendered people, a row for each
       snreid data crop-sysu RELEASE FOLDER                            cut the persons out of CUHK-SYSU's frames
       snreid data list                                                the names that are known"""

_SHEET_ROWS, _SHEET_COLUMNS = 16, 8
"""People and pictures of each on a contact sheet of rendered people, at most."""
_Seed: TypeAlias = Annotated[int, tyro.conf.arg(help="of people, cameras and moments")]


@dataclass(frozen=True, kw_only=True)
class Check:
    """Compare what is on disk with what the data set has to be: counts, unreadable images, persons in both training and test."""

    name: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(help="data sets, e.g. market1501 cuhk03")]
    decode: Annotated[bool, tyro.conf.arg(help="open every image")] = True
    json: Annotated[bool, tyro.conf.arg(help="print one JSON object for each")] = False
    root: DataFolder = field(default_factory=data_root)
    workers: Annotated[int, tyro.conf.arg(help="threads that open images")] = 2


@dataclass(frozen=True, kw_only=True)
class Make:
    """Draw pedestrians and write them in Market-1501's folder format, one folder for each domain."""

    folder: Annotated[
        tyro.conf.Positional[Path],
        tyro.conf.arg(
            help="folder to write to; must be new or empty. With --out: a data set such as people:persons=20"
        ),
    ]
    out: Annotated[Path | None, tyro.conf.arg(help="folder for a data set that is named; must be new or empty")] = None
    domain: Annotated[tuple[str, ...], tyro.conf.arg(help="domains to draw; all when left out")] = ()
    train_persons: Annotated[int, tyro.conf.arg(help="people to train on, for each domain")] = 200
    test_persons: Annotated[int, tyro.conf.arg(help="people to test on, for each domain")] = 100
    people: Annotated[
        str, tyro.conf.arg(help="a domain whose people are drawn in all of them; left out: other people everywhere")
    ] = ""
    seed: _Seed = 0


@dataclass(frozen=True, kw_only=True)
class List:
    """List how a data set is named."""

    json: Annotated[bool, tyro.conf.arg(help="print one JSON object")] = False


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Draw a contact sheet: rows are people, columns are domains."""

    file: Annotated[
        tyro.conf.Positional[Path],
        tyro.conf.arg(help="PNG file to write. With --out: a data set such as people:persons=8"),
    ]
    out: Annotated[Path | None, tyro.conf.arg(help="PNG file for a data set that is named")] = None
    domain: Annotated[tuple[str, ...], tyro.conf.arg(help="domains to show; all when left out")] = ()
    persons: Annotated[int, tyro.conf.arg(help="people to show")] = 5
    seed: _Seed = 0


@dataclass(frozen=True, kw_only=True)
class CropSysu:
    """Cut the persons out of the released frames of CUHK-SYSU. Crops that are there are kept; nothing is overwritten."""

    release: Annotated[
        tyro.conf.Positional[Path], tyro.conf.arg(help="folder with annotation/Person.mat and Image/SSM")
    ]
    folder: Annotated[
        tyro.conf.Positional[Path],
        tyro.conf.arg(help="folder to write to, for example my-data/CUHK-SYSU/cropped_images"),
    ]
    json: Annotated[bool, tyro.conf.arg(help="print one JSON object")] = False


def main(arguments: Sequence[str]) -> int:
    """Dispatches to the verbs."""
    verbs = {"check": _check, "make": _make, "sheet": _sheet, "crop-sysu": _crop_sysu, "list": _list}
    words = list(arguments)
    if not words or words[0] in ("-h", "--help"):
        print(_HELP)
        return 0
    if words[0] not in verbs:
        from snreid.errors import ExperimentError

        raise ExperimentError(
            "snreid data takes check, make, sheet, crop-sysu or list",
            found=repr(words[0]),
            fix="see snreid data --help",
        )
    return verbs[words[0]](words[1:])


def _check(words: list[str]) -> int:
    request = tyro.cli(Check, args=words, prog="snreid data check")
    from snreid.cli.names import dataset_named
    from snreid.datasets import check
    from snreid.errors import ExperimentError
    from snreid.system.progress import counting

    if not request.name:
        raise ExperimentError("A check needs a data set", found="none", fix="name one: snreid data check market1501")
    console = Console(stderr=True)
    good = True
    for name in request.name:
        with counting(console, f"reading {name}") as progress:
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


def _make(words: list[str]) -> int:
    require_names("data make", words, ("FOLDER",), "the folder to write to")
    request = tyro.cli(Make, args=words, prog="snreid data make")
    if request.out is not None:
        return _make_named(str(request.folder), request.out)
    from snreid.cli import Terminated
    from snreid.datasets import DrawnPedestrians
    from snreid.datasets.market_writer import write_market_format
    from snreid.synthetic.pedestrians import DOMAINS
    from snreid.system.progress import counting

    console = Console(stderr=True)
    names = request.domain or tuple(domain.name for domain in DOMAINS)
    for number, name in enumerate(names):
        drawn = DrawnPedestrians(
            domain=name,
            train_persons=request.train_persons,
            test_persons=request.test_persons,
            people=request.people,
            seed=request.seed,
        )
        data = drawn.read(Path())
        try:
            with counting(console, f"drawing {name}") as progress:
                write_market_format(data, request.folder / name, progress)
        except (KeyboardInterrupt, Terminated) as stop:  # the same command would refuse the folders that are done
            stop.add_note(
                f"start it again with --domain {' '.join(names[number:])} to draw the rest"
                if number
                else "nothing was written"
            )
            raise
        print(
            f"{request.folder / name}: {len(data.train)} train, {len(data.query)} query, {len(data.gallery)} gallery images"
        )
    return 0


def _sheet(words: list[str]) -> int:
    require_names("data sheet", words, ("FILE.png",), "the picture to write")
    request = tyro.cli(Sheet, args=words, prog="snreid data sheet")
    if request.out is not None:
        return _sheet_named(str(request.file), request.out)
    from PIL import Image

    from snreid.errors import ExperimentError
    from snreid.synthetic.pedestrians import DOMAINS, domain_named
    from snreid.synthetic.pedestrians.sheet import contact_sheet

    if request.file.suffix.lower() != ".png":
        raise ExperimentError("A contact sheet is a PNG file", found=str(request.file), fix="end its name in .png")
    domains = tuple(domain_named(name) for name in request.domain) or DOMAINS
    sheet = contact_sheet(domains, persons=request.persons, seed=request.seed)
    request.file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(request.file)
    print(request.file)
    return 0


def _people_named(name: str, console: Console) -> "RenderedPeople":
    """The rendered people that a name stands for; their body model is read first, with a bar where it has to be made."""
    from snreid.cli.names import dataset_named
    from snreid.datasets import RenderedPeople
    from snreid.errors import ExperimentError
    from snreid.synthetic.people.assets import body_model
    from snreid.system.progress import counting

    people = dataset_named(name)
    if not isinstance(people, RenderedPeople):
        raise ExperimentError(
            "Only rendered people are made by name", found=repr(name), fix="name people, as in people:persons=20"
        )
    with counting(console, "reading the body model, once") as progress:
        body_model(progress)
    return people


def _make_named(name: str, folder: Path) -> int:
    from snreid.datasets.market_writer import write_market_format
    from snreid.system.progress import counting

    console = Console(stderr=True)
    data = _people_named(name, console).read(Path())
    with counting(console, f"rendering {name}") as progress:
        write_market_format(data, folder, progress)
    print(f"{folder}: {len(data.train)} train, {len(data.query)} query, {len(data.gallery)} gallery images")
    return 0


def _sheet_named(name: str, file: Path) -> int:
    from PIL import Image

    from snreid.datasets import RenderedImage
    from snreid.errors import ExperimentError
    from snreid.system.progress import counting

    if file.suffix.lower() != ".png":
        raise ExperimentError("A contact sheet is a PNG file", found=str(file), fix="end its name in .png")
    console = Console(stderr=True)
    data = _people_named(name, console).read(Path())
    samples = data.train.samples or data.gallery.samples
    images = [sample.image for sample in samples if isinstance(sample.image, RenderedImage)]
    from snreid.synthetic.people.sheet import people_sheet

    rows = [
        [i for i in images if i.label == label] for label in sorted({image.label for image in images})[:_SHEET_ROWS]
    ]
    step = max(1, len(rows[0]) // _SHEET_COLUMNS)
    with counting(console, "rendering") as progress:
        pictures = [[image.picture() for image in row[::step][:_SHEET_COLUMNS]] for row in rows]
        sheet = people_sheet(pictures, progress=progress)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(file)
    print(file)
    return 0


def _crop_sysu(words: list[str]) -> int:
    names = ("RELEASE", "FOLDER")
    require_names("data crop-sysu", words, names, "the release's folder and the folder to write to")
    request = tyro.cli(CropSysu, args=words, prog="snreid data crop-sysu")
    from snreid.datasets.cuhk_sysu_release import crop
    from snreid.system.progress import counting

    with counting(Console(stderr=True), "cutting persons out of frames") as progress:
        report = crop(request.release, request.folder, progress)
    print(report.to_json() if request.json else "\n".join(report.lines()))
    return 0 if report.ok else 1


def _list(words: list[str]) -> int:
    request = tyro.cli(List, args=words, prog="snreid data list")
    from snreid.cli.names import HELP, known_names, known_wrappers, wrapper_forms

    names, wrappers = known_names(), known_wrappers()
    if request.json:
        print(json.dumps({"names": names, "wrappers": wrappers, "help": HELP}))
    else:
        print(f"{HELP}\nnames: {', '.join(names)}\nbehind an @: {wrapper_forms()}")
    return 0
