"""CSV and Parquet tables, and the ways in which somebody else's table can be wrong."""

import re
import sys
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snreid.datasets import Columns, Labels, Table
from snreid.errors import DataError, ExperimentError
from snreid.records import NO_TRACK, ReIDData
from support.effort import examples

HEADER = "path,person,camera,split"
LINES = [
    "a/1.jpg,anna,1,train",
    "a/2.jpg,anna,2,train",
    "b/1.jpg,bert,1,test",
    "b/2.jpg,bert,2,test",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the images of ``LINES``."""
    for line in LINES:
        path = tmp_path / line.split(",")[0]
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def read(folder: Path, *lines: str, name: str = "site.csv", newline: str = "\n", **fields: Any) -> ReIDData:
    (folder / name).write_bytes(newline.join(lines).encode())
    return Table(path=name, **fields).read(folder)


def as_expected(data: ReIDData, folder: Path) -> None:
    assert data.name == "site"
    assert [s.image.name for s in data.train.samples] == [str(folder / "a/1.jpg"), str(folder / "a/2.jpg")]
    assert data.train.persons.tolist() == [1, 1]
    assert data.train.cameras.tolist() == [1, 2]
    assert data.query == data.gallery
    assert data.gallery.persons.tolist() == [2, 2]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_in_its_dialects(delimiter: str, newline: str, folder: Path) -> None:
    lines = [line.replace(",", delimiter) for line in (HEADER, *LINES, "")]
    as_expected(read(folder, *lines, newline=newline), folder)
    as_expected(read(folder, "\ufeff" + lines[0], *lines[1:], name="site.tsv", newline=newline), folder)


def test_a_word_in_training_and_in_the_test_is_one_person(folder: Path) -> None:
    for word, number in (("anna", "bert"), ("7", "8")):
        lines = [line.replace("anna", word).replace("bert", number) for line in LINES]
        assert read(folder, HEADER, *lines)
        shared = [line.replace(number, word) if "b/2" in line else line for line in lines]
        with pytest.raises(DataError, match=r"either in training or in the test \(site\).*a/1\.jpg = .*b/2\.jpg"):
            read(folder, HEADER, *shared)


def test_backslashes_are_slashes_where_no_file_has_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = [LINES[0], *(line.replace("/", "\\") for line in LINES[1:])]
    data = read(folder, HEADER, *windows)
    as_expected(data, folder)
    assert data.notes[0].startswith("3 paths of the table are written with \\")
    monkeypatch.chdir(folder.parent)
    as_expected(Table(path="site.csv").read(Path(folder.name)), Path(folder.name))
    (folder / "a\\2.jpg").touch()
    assert str(folder / "a\\2.jpg") in {sample.image.name for sample in read(folder, HEADER, *windows).train.samples}
    for path in ("..\\secret.jpg", "C:\\a\\1.jpg", "a\\none.jpg"):
        with pytest.raises(DataError, match=re.escape(repr(path))):
            read(folder, HEADER, *windows, f"{path},anna,3,train")


@pytest.mark.parametrize("disk", ["NFC", "NFD"])
def test_an_accent_in_either_form_names_the_same_file_and_person(disk: Literal["NFC", "NFD"], tmp_path: Path) -> None:
    other: Literal["NFC", "NFD"] = "NFD" if disk == "NFC" else "NFC"
    for number in (1, 2):
        (tmp_path / normalize(disk, f"é{number}.jpg")).touch()
    lines = [normalize(form, f"é{number}.jpg,José,{number}") for number, form in ((1, disk), (2, other))]
    data = read(tmp_path, "path,person,camera", *lines)
    assert {Path(sample.image.name).name for sample in data.train.samples} == {
        normalize(disk, f"é{number}.jpg") for number in (1, 2)
    }
    assert data.train.persons.tolist() == [1, 1]


def test_a_table_may_have_a_name_of_its_own(folder: Path) -> None:
    assert read(folder, HEADER, *LINES, name="site.csv").name == "site"
    (folder / "labels.csv").write_text("\n".join([HEADER, *LINES]))
    assert Table(path="labels.csv", name="shop-a").read(folder).name == "shop-a"
    with pytest.raises(DataError, match=r"names of files.*'a/b'.*name=shop"):
        Table(path="labels.csv", name="a/b").read(folder)


def test_other_columns_other_names_and_other_folders(folder: Path) -> None:
    lines = [f'x,"{c[0][2:]}",{c[1]},{c[2]},{c[3]}' for c in (line.split(",") for line in LINES) if c[1] == "anna"]
    (folder / "lists").mkdir()
    columns = Columns(path="file", person="who", camera="cam", split="set")
    table = Table(path="lists/one.csv", images="../a", columns=columns)
    (folder / "lists" / "one.csv").write_text("\n".join(["note,file,who,cam,set", *lines]))
    assert [s.image.name for s in table.read(folder).train.samples] == [
        str(folder / "a/1.jpg"),
        str(folder / "a/2.jpg"),
    ]
    with pytest.raises(DataError, match=r"has note, file, who.*columns\.person=id \(in Python columns=Columns"):
        Table(path="lists/one.csv").read(folder)


def test_camera_and_split_may_be_absent(folder: Path) -> None:
    lines = ["path,person", *(",".join(line.split(",")[:2]) for line in LINES)]
    data = read(folder, *lines)
    assert (len(data.train), len(data.query), data.has_cameras) == (4, 0, False)
    data = read(folder, *lines, labels=Labels(role="test"))
    assert (len(data.train), len(data.query), len(data.gallery)) == (0, 2, 4)


def test_a_track_counts_anew_on_each_camera_and_may_be_missing(folder: Path) -> None:
    lines = ["a/1.jpg,1,1,t", "a/2.jpg,1,2,t", "b/1.jpg,1,2,t", "b/2.jpg,1,2,"]
    data = read(folder, "path,person,camera,track", *lines)
    assert data.train.tracks.tolist() == [1, 2, 2, NO_TRACK]
    renamed = read(folder, "path,person,camera,clip", *lines, columns=Columns(track="clip"))
    assert renamed.train.tracks.tolist() == [1, 2, 2, NO_TRACK]


@pytest.mark.parametrize("kinds", ["text", "numbers", "categories"])
def test_parquet(kinds: str, folder: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet tables: pip install 'snreid[parquet]'")
    from pyarrow import parquet

    cells = [line.split(",") for line in LINES]
    columns: dict[str, Any] = dict(zip(HEADER.split(","), map(list, zip(*cells, strict=True)), strict=True))
    if kinds == "numbers":
        columns |= {"person": [1, 1, 2, 2], "camera": [1, 2, 1, 2]}
    if kinds == "categories":
        columns["person"] = pyarrow.array(columns["person"]).dictionary_encode()
    parquet.write_table(pyarrow.table({"other": [0.5] * 4, **columns}), folder / "site.parquet")
    as_expected(Table(path="site.parquet").read(folder), folder)


@pytest.mark.parametrize(
    "values", [[1.0, 1.0, 2.0, 2.0], [1, 1, None, 2], [True, True, False, False], [b"a", b"a", b"b", b"b"]]
)
def test_parquet_labels_are_text_or_whole_numbers(values: list[Any], folder: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet tables: pip install 'snreid[parquet]'")
    from pyarrow import parquet

    paths = [line.split(",")[0] for line in LINES]
    parquet.write_table(pyarrow.table({"path": paths, "person": values}), folder / "site.parquet")
    with pytest.raises(DataError, match=r"site\.parquet row [13]"):
        Table(path="site.parquet").read(folder)


def test_a_damaged_parquet_and_a_missing_package_are_data_errors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="Parquet tables: pip install 'snreid[parquet]'")
    (folder / "site.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"site\.parquet"):
        Table(path="site.parquet").read(folder)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"snreid\[parquet\]"):
        Table(path="site.parquet").read(folder)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "no columns"),
        (["path,camera", "a/1.jpg,1"], "columns path and person"),
        (["path,person,person", "a/1.jpg,1,2"], "each once"),
        ([HEADER, LINES[0], "a/2.jpg,anna,2"], "line 3: 3 cells where the first line names 4"),
        ([HEADER, LINES[0], ",anna,2,train"], "line 3: no path"),
        ([HEADER, "", "a/2.jpg, ,2,train"], "line 3: no person"),
        ([HEADER, LINES[0], "a/2.jpg,NaN,2,train"], "'NaN' in .*line 3"),
        ([HEADER, LINES[0], 'a/2.jpg,"an"na,2,train'], r"site\.csv"),
        ([HEADER, LINES[0], "a/9.jpg,anna,2,train"], "line 3: 'a/9.jpg' does not exist"),
        ([HEADER, LINES[0], "a,anna,2,train"], "line 3: 'a' is not a file"),
        ([HEADER, LINES[0], "a/1.jpg,anna,1,train"], "line 2 and in .*line 3"),
        ([HEADER, LINES[0], "b/../a/1.jpg,anna,1,train"], "line 2 and in .*line 3"),
        ([HEADER, LINES[0], "x" * 200_000], r"site\.csv"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_its_line(lines: list[str], said: str, folder: Path) -> None:
    with pytest.raises(DataError, match=said):
        read(folder, *lines)


def test_another_encoding_and_another_file_are_refused(folder: Path) -> None:
    (folder / "site.csv").write_bytes(HEADER.encode() + b"\na/1.jpg,J\xfcrgen,1,train\n")
    with pytest.raises(DataError, match=r"UTF-8 text.*site\.csv.*utf-8.*save it as UTF-8"):
        Table(path="site.csv").read(folder)
    with pytest.raises(DataError, match="is none"):
        Table(path="none.csv").read(folder)
    with pytest.raises(ExperimentError, match=r"\.csv"):
        Table(path="table.xlsx")


ATTACKS = [
    "../secret.jpg",
    "a/../../secret.jpg",
    "./a/.././../secret.jpg",
    "{parent}/secret.jpg",
    "link.jpg",
    "linked/secret.jpg",
    "../site/../secret.jpg",
    "..%2fsecret.jpg",
    "..\\secret.jpg",
    "file://{parent}/secret.jpg",
    "\\\\host\\share\\x.jpg",
    "a/1.jpg\0.png",
    "/dev/zero",
    "~/secret.jpg",
    "$HOME/x.jpg",
    "a/" * 2000 + "1.jpg",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_table_cannot_lead_out_of_its_folder(attack: str, folder: Path) -> None:
    """R12: refused by name, whatever is there."""
    site = folder / "site"
    (site / "a").mkdir(parents=True)
    (site / "a" / "1.jpg").touch()
    (folder / "secret.jpg").touch()
    (site / "link.jpg").symlink_to(folder / "secret.jpg")
    (site / "linked").symlink_to(folder)
    entry = attack.replace("{parent}", str(folder))
    with pytest.raises(DataError, match=r"line 3: "):
        read(site, HEADER, LINES[0], f"{entry},anna,2,train")


def test_leaving_the_folder_can_be_allowed_and_links_within_are_fine(folder: Path) -> None:
    (folder / "a" / "link.jpg").symlink_to(folder / "a" / "2.jpg")
    (folder / "list").mkdir()
    lines = [HEADER, "../a/1.jpg,anna,1,train", f"{folder}/a/2.jpg,anna,2,train"]
    with pytest.raises(DataError, match=r"2 do not.*leads out"):
        read(folder / "list", *lines)
    data = read(folder / "list", *lines, outside=True)
    assert [s.image.name for s in data.train.samples] == [str(folder / "a/1.jpg"), str(folder / "a/2.jpg")]
    assert len(read(folder, HEADER, LINES[0], "a/link.jpg,anna,2,train").train) == 2


@settings(max_examples=examples(120), deadline=None)
@given(body=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_last_line_is_a_data_error_or_what_it_says(body: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """R11, short form: never another exception, never a person that was not written."""
    folder = tmp_path_factory.mktemp("table")
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        (folder / name).touch()
    (folder / "site.csv").write_bytes(b"path,person\n1.jpg,4\n2.jpg,4\n3.jpg," + body)
    try:
        data = Table(path="site.csv", labels=Labels(singles="drop")).read(folder)
    except DataError:
        return
    persons = data.train.persons.tolist()
    if len(persons) == 3:
        assert body.decode().strip().strip('"').lstrip("0") == "4" and persons == [4, 4, 4]
    else:
        assert len(persons) == 2
        assert body.decode("utf-8").strip()
