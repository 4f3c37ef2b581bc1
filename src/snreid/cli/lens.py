"""``snreid lens``: what normalization removes from images and what SNR restores, as a page."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from snreid import __version__
from snreid.cli.flags import Images, Json, RunFolder, flag, parse
from snreid.cli.machine import Flags, MachineFlags
from snreid.cli.names import dataset_named
from snreid.cli.session import open_session, require_file
from snreid.errors import DataError, ExperimentError, visible
from snreid.experiments.packaged import is_packaged
from snreid.images.files import images_at
from snreid.system.atomic_files import write_text

if TYPE_CHECKING:
    from snreid.analysis.lens.choose import Chosen
    from snreid.experiments.runs import Run
    from snreid.figures.lens_records import Lens
    from snreid.records import Sample

MOST_SHOWN = 24
"""Most images of a folder whose maps are shown."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Show what a model does to images: what normalization removes after each stage
    and what SNR restores. Writes an HTML page.

    Images are shown with their maps. Data sets (--data) are compared by the style
    of their cameras and by t-SNE; without images, some of theirs are shown.

    Examples:
      snreid lens runs/snr-market1501-0 a.jpg b.jpg
      snreid lens runs/snr-noon-0 --data noon night
      snreid lens runs/snr-noon-0 photos --data market1501 --out market.html
    """

    run: RunFolder
    images: Images = ()
    data: Annotated[tuple[str, ...], flag("data sets to compare, e.g. noon night", "NAME")] = ()
    out: Annotated[Path, flag("page to write", "FILE.html")] = Path("lens.html")
    per_data: Annotated[int, flag("most images of each data set", "N")] = 180
    show: Annotated[int, flag("images to show when none is named", "N")] = 8
    json: Json = False
    machine: MachineFlags = Flags()


def main(arguments: Sequence[str]) -> int:
    """Analyse and write the page."""
    request = parse(Request, arguments, "snreid lens")
    _check(request)
    from snreid.analysis.lens.look import look
    from snreid.experiments.runs import open_run
    from snreid.figures.lens_page import render_lens

    require_file(request.out, ".html", ".htm")  # before anything is computed
    run = open_run(request.run)
    chosen = _chosen(request)
    shown = _shown(request, chosen)
    with open_session(request.machine, request.out.absolute().parent) as session:
        embedder = run.embedder(device=session.device, bf16=request.machine.precision == "bf16")
        if session.first:
            lens = _described(look(embedder, shown, chosen, session), run, request)
            write_text(request.out, render_lens(lens))
            _tell(lens, request)
    return 0


def _check(request: Request) -> None:
    if not request.images and not request.data:
        raise ExperimentError(
            "The lens needs something to look at: image files, or data sets",
            found="neither",
            fix=f"name some: snreid lens {request.run} a.jpg b.jpg --data noon night",
        )
    if request.per_data < 1 or request.show < 1:
        raise ExperimentError(
            "At least one image is taken and shown",
            found=f"--per-data {request.per_data} --show {request.show}",
            fix="give 1 or more; 180 and 8 when left out",
        )


def _chosen(request: Request) -> "list[Chosen]":
    from snreid.analysis.lens.choose import choose

    root = request.machine.root
    sets = [dataset_named(name, root) for name in request.data]
    names = [one.name for one in sets]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(
            "Each data set has a name of its own", found=f"{twice[0]} twice", fix="leave one out, or give one a name"
        )
    chosen = [choose(one.read(root), request.per_data) for one in sets]
    if empty := [one.name for one in chosen if not len(one.split)]:
        raise DataError("A data set has images", found=f"{empty[0]} with none", fix="leave it out")
    return chosen


def _shown(request: Request, chosen: "Sequence[Chosen]") -> "list[tuple[str, Sample]]":
    """The images whose maps are shown, with their titles."""
    from snreid.analysis.lens.choose import evenly, shares
    from snreid.images.reading import FileImage
    from snreid.records import NO_CAMERA, Sample

    if request.images:
        return [(str(path), Sample(FileImage(str(path)), 1, NO_CAMERA)) for path in _files(request.images)]
    counts = shares([len(one.split) for one in chosen], request.show)
    picked = [
        (one.name, sample)
        for one, count in zip(chosen, counts, strict=True)
        for sample in evenly(one.split.samples, count)
    ]
    return [(_title(name, sample), sample) for name, sample in picked]


def _title(name: str, sample: "Sample") -> str:
    camera = f", camera {sample.camera}" if sample.camera >= 0 else ""
    return f"{name}, person {sample.person}{camera}" if sample.person > 0 else f"{name}, a distractor{camera}"


def _files(paths: Sequence[Path]) -> list[Path]:
    """The files; for a folder the images below it, evenly sampled if there are many. Raises ``DataError`` for a folder without images."""
    kept: list[Path] = []
    for path in paths:
        there = images_at([path])
        if not there.images:
            found = f"none in {path}; {there.note}" if there.note else f"none in {path}"
            raise DataError("A folder that is looked at has images", found=found, fix="give image files")
        if there.note:
            print(visible(there.note), file=sys.stderr)
        inside = [Path(name) for name in there.images]
        step = max(1, -(-len(inside) // MOST_SHOWN)) if path.is_dir() else 1
        kept += inside[::step]
    return list(dict.fromkeys(kept))


def _described(lens: "Lens", run: "Run", request: Request) -> "Lens":
    """The lens with words on the run, and notes on what the request left open."""
    notes = list(lens.notes)
    if not request.images:
        titles = "; ".join(image.title for image in lens.images)
        notes.insert(
            0,
            f"No image file was named, so {len(lens.images)} images of the data sets are shown, evenly taken: {titles}.",
        )
    if folders := [path for path in request.images if path.is_dir()]:
        notes.insert(
            0, f"Of a folder ({', '.join(map(str, folders))}) at most {MOST_SHOWN} images are shown, evenly taken."
        )
    experiment = run.experiment
    return replace(
        lens,
        title=f"SNR lens: {run.name}",
        run=f"{run.name if is_packaged(run.folder) else run.folder} ({experiment.recipe}, seed {experiment.seed})",
        scheme=f"{experiment.model.scheme.label} on {experiment.model.backbone.name}",
        trained_on=", ".join(source.name for source in experiment.sources),
        notes=tuple(notes),
        made=f"snreid {__version__}; t-SNE and halves with seed 0.",
    )


def _tell(lens: "Lens", request: Request) -> None:
    from snreid.figures.lens_page import lens_findings

    if request.json:
        print(json.dumps(to_json(lens, request.out)))
        return
    for name, words in lens_findings(lens):
        print(visible(f"{name}{words}"))
    for note in lens.notes:
        print(visible(note))
    print(visible(f"Page: {request.out}"))


def to_json(lens: "Lens", out: Path) -> dict[str, Any]:
    """The numbers of the page for JSON; undefined numbers are null."""
    styles = {table.stage: table.summaries for table in lens.styles}
    rows = [
        {
            "stage": stage,
            "given_back": [one.given_back for image in lens.images for one in image.stages if one.stage == stage],
            "gate": {gate.label: gate.mean for gate in lens.gates if gate.stage == stage},
            "style": {
                name: {key: None if isnan(value) else value for key, value in means.items()}
                for name, means in styles.get(stage, {}).items()
            },
        }
        for stage in sorted({one.stage for image in lens.images for one in image.stages} | set(styles))
    ]
    neighbours = [
        {"what": one.what, "domain": one.domain and asdict(one.domain), "camera": one.camera and asdict(one.camera)}
        for one in lens.mixed
    ]
    return {
        "file": str(out),
        "run": lens.run,
        "scheme": lens.scheme,
        "images": [image.title for image in lens.images],
        "cameras": list(lens.sets),
        "stages": rows,
        "neighbours": neighbours,
        "notes": list(lens.notes),
    }
