"""``snreid evaluate``: a run, an ONNX file and embeddings give the scores that their vectors earn."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

import snreid
from snreid.cli.evaluate import main
from snreid.cli.extract import main as extract
from snreid.cli.names import dataset_named
from snreid.errors import ExperimentError, SnreidError
from snreid.evaluation import ReRanking, evaluate, evaluate_reranked, write_features
from snreid.experiments import scoring as results
from snreid.experiments.scoring import read_result
from snreid.images.reading import resize
from snreid.inference.embedder import Embedder
from snreid.inference.onnx_embedder import OpenedOnnx
from snreid.records import Features, Split
from support.tiny import TARGET, colour_onnx
from support.trees import draw

Captured = pytest.CaptureFixture[str]
QUIET = ["--workers", "0", "--device", "cpu"]


def features_by(split: Split, embed: object) -> Features:
    """Each image drawn, resized and embedded by itself."""
    pixels = [resize(s.image.read(), 32, 16) for s in split.samples]
    vectors = np.stack([embed(one) for one in pixels])  # type: ignore[operator]
    return Features(
        vectors.astype(np.float32), split.persons, split.cameras, tuple(s.image.name for s in split.samples)
    )


def mean_colour(pixels: np.ndarray) -> np.ndarray:
    """Brightness of each channel, between 0 and 1."""
    return pixels.mean((0, 1)) / 255


def test_a_run_gets_the_scores_of_its_vectors_and_keeps_them(pair: tuple[Path, Path], capsys: Captured) -> None:
    import torch

    embedder = snreid.load(pair[1])
    data = dataset_named(TARGET).read(Path())

    def embed(pixels: np.ndarray) -> np.ndarray:
        return embedder(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None])[0]

    expected = evaluate(features_by(data.query, embed), features_by(data.gallery, embed))
    assert main([str(pair[1]), "-t", TARGET, "--json", *QUIET]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["target"] == "dusk" and shown["queries"] == len(data.query)
    assert shown["mAP"] == pytest.approx(expected.mean_ap, abs=1e-6)
    assert shown["rank1"] == pytest.approx(expected.rank(1))
    stored = read_result(pair[1], data)
    assert stored is not None and stored.scores.mean_ap == shown["mAP"]


def test_another_metric_is_shown_and_not_kept_as_the_runs_own(pair: tuple[Path, Path], capsys: Captured) -> None:
    assert main([str(pair[1]), "-t", TARGET, "--json", *QUIET]) == 0
    own = json.loads(capsys.readouterr().out)
    assert main([str(pair[1]), "-t", TARGET, "--json", "--metric", "euclidean", *QUIET]) == 0
    other = json.loads(capsys.readouterr().out)
    assert other["mAP"] != own["mAP"]
    stored = read_result(pair[1], dataset_named(TARGET).read(Path()))
    assert stored is not None and stored.scores.mean_ap == own["mAP"]


def test_a_table_shows_percent_and_several_targets(
    pair: tuple[Path, Path], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    noon = TARGET.replace("dusk", "noon")
    assert main([str(pair[0]), "-t", TARGET, noon, *QUIET]) == 0
    shown = capsys.readouterr().out
    assert "dusk" in shown and "noon" in shown and "mINP" in shown
    found = json.loads((pair[0] / "evaluation" / "dusk.json").read_text())
    for name in ("mAP", "rank1", "rank5", "rank20", "mINP"):
        low, high = found[f"{name}_interval"]
        assert f" {100 * found[name]:.1f} [{100 * low:.1f}, {100 * high:.1f}] " in shown
    assert f"dusk: {found['notes'][0]}" in shown and f"{found['persons']} persons" in found["notes"][0]
    assert main([str(pair[0]), "-t", TARGET, noon, "--json", *QUIET]) == 0
    assert [t["target"] for t in json.loads(capsys.readouterr().out)["targets"]] == ["dusk", "noon"]


def test_embeddings_of_anybody_are_scored(tmp_path: Path, capsys: Captured) -> None:
    data = dataset_named(TARGET).read(Path())
    query, gallery = features_by(data.query, mean_colour), features_by(data.gallery, mean_colour)
    write_features(tmp_path / "mine.npz", query, gallery)
    for metric in ("cosine", "euclidean"):
        assert main(["--features", str(tmp_path / "mine.npz"), "--metric", metric, "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["mAP"] == pytest.approx(evaluate(query, gallery, metric=metric).mean_ap)
        assert shown["target"] == "mine"


def test_embeddings_of_other_programs_get_the_same_scores(
    tmp_path: Path, capsys: Captured, rng: np.random.Generator
) -> None:
    persons, cameras = np.arange(8).repeat(4), np.tile([1, 1, 2, 2], 8)
    vectors = (np.eye(8)[persons] + 0.5 * rng.normal(size=(32, 8))).astype(np.float32)
    rows = np.arange(32)
    query, gallery = rows % 4 == 0, rows % 4 != 0
    write_features(
        tmp_path / "ours.npz", *(Features(vectors[part], persons[part], cameras[part]) for part in (query, gallery))
    )
    names = [("qf", "q_pids", "q_camids"), ("gf", "g_pids", "g_camids")]
    values = [(vectors[part], persons[part], np.array(["a", "b"])[cameras[part] - 1]) for part in (query, gallery)]
    np.savez(tmp_path / "torchreid.npz", **dict(zip(sum(names, ()), sum(values, ()), strict=True)))
    names = [("query_f", "query_label", "query_cam"), ("gallery_f", "gallery_label", "gallery_cam")]
    values = [(vectors[part], persons[part].tolist(), cameras[part].tolist()) for part in (query, gallery)]
    savemat(tmp_path / "pytorch_result.mat", dict(zip(sum(names, ()), sum(values, ()), strict=True)))
    np.save(tmp_path / "all.npy", vectors)
    lines = [f"{row}.jpg,p{persons[row]},{cameras[row]},{'query' if query[row] else 'gallery'}" for row in rows]
    (tmp_path / "all.csv").write_text("\n".join(["path,person,camera,split", *lines]))
    shown = []
    for files in (["ours.npz"], ["torchreid.npz"], ["pytorch_result.mat"], ["all.npy", "all.csv"]):
        assert main(["--features", *(str(tmp_path / name) for name in files), "--json"]) == 0
        shown.append(json.loads(capsys.readouterr().out))
        assert shown[-1].pop("target") == files[0].partition(".")[0]
    assert 0.3 < shown[0]["mAP"] < 0.99 and shown[1:] == shown[:1] * 3


def test_person_0_of_a_features_file_is_a_person(tmp_path: Path, capsys: Captured, rng: np.random.Generator) -> None:
    persons, cameras = np.arange(64).repeat(4), np.tile([1, 2, 3, 4], 64)
    vectors = rng.normal(size=(256, 8)).astype(np.float32)

    def scored(first: int) -> dict[str, Any]:
        whole = Features(vectors, persons + first, cameras)
        write_features(tmp_path / "ids.npz", Features(vectors[::2], persons[::2] + first, cameras[::2]), whole)
        assert main(["--features", str(tmp_path / "ids.npz"), "--json"]) == 0
        streams = capsys.readouterr()
        assert not streams.err
        shown: dict[str, Any] = json.loads(streams.out)
        return shown

    assert scored(0) == scored(1) and scored(0)["skipped_queries"] == 0


def test_junk_among_the_queries_is_remarked_on(tmp_path: Path, capsys: Captured) -> None:
    vectors = np.eye(4, dtype=np.float32)
    persons, cameras = np.array([-1, 1, 2, 3]), np.array([1, 1, 1, 1])
    write_features(tmp_path / "junk.npz", Features(vectors, persons, cameras), Features(vectors, persons, cameras + 1))
    assert main(["--features", str(tmp_path / "junk.npz"), "--json"]) == 0
    streams = capsys.readouterr()
    assert "1 of 4 queries" in streams.err and json.loads(streams.out)["skipped_queries"] == 1


def test_an_onnx_file_is_an_embedder(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    colour_onnx(tmp_path / "colour.onnx")
    monkeypatch.chdir(tmp_path)
    plain = ["--mean", "0", "0", "0", "--std", "1", "1", "1"]
    assert main(["--onnx", "colour.onnx", "-t", TARGET, *plain, "--json", *QUIET]) == 0
    shown = json.loads(capsys.readouterr().out)
    data = dataset_named(TARGET).read(Path())
    expected = evaluate(features_by(data.query, mean_colour), features_by(data.gallery, mean_colour))
    assert shown["mAP"] == pytest.approx(expected.mean_ap, abs=0.02)
    # The order of channels and the filter are the network's own; its ranking is blind to both.
    filters: list[str] = []
    monkeypatch.setattr("snreid.images.resized.resize", lambda *a, by: filters.append(by) or resize(*a, by=by))
    assert main(["--onnx", "colour.onnx", "-t", TARGET, *plain, "--onnx-bgr", "--json", *QUIET]) == 0
    assert json.loads(capsys.readouterr().out)["mAP"] == shown["mAP"]
    words = ["--onnx-interpolation", "bicubic", "--onnx-output", "embedding", "--json"]
    assert main(["--onnx", "colour.onnx", "-t", TARGET, *plain, *words, *QUIET]) == 0
    assert json.loads(capsys.readouterr().out)["mAP"] == pytest.approx(shown["mAP"], abs=0.02)
    assert set(filters) == {"bicubic"}
    assert main(["--onnx", "colour.onnx", "-t", TARGET, "--json", "--workers", "0", "--device", "cpu"]) == 0
    assert "colour.onnx does not tell its mean and std" in capsys.readouterr().err
    with pytest.raises(ExperimentError, match="has embedding"):
        main(["--onnx", "colour.onnx", "-t", TARGET, "--onnx-output", "logits", *QUIET])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("RUN -t noon --backend onnxruntime --precision bf16", "computes on the CPU"),
        ("RUN -t noon --batch 0", "at least one image"),
        ("net.onnx -t noon --backend torch", "run by onnxruntime"),
        ("--onnx net.pb -t noon --backend openvino", "run by onnxruntime"),
        ("--onnx net.xml -t noon --height 64", "an .xml file know theirs.*--height"),
        ("RUN -t noon --std 1 1 1", "a run and an .xml file know theirs.*--std"),
        ("--features f.npz --batch 4", "not computed again.*--batch 4"),
        ("--features f.npz --onnx-bgr", "are of an ONNX file.*--onnx-bgr with f.npz"),
        ("--features f.npz --backend torch", "not computed again.*--backend torch"),
        ("lost.onnx -t noon", "The ONNX file must exist"),
    ],
)
def test_what_computes_is_looked_at_first(words: str, said: str, pair: tuple[Path, Path]) -> None:
    with pytest.raises(SnreidError, match=said):
        main([str(pair[1]) if word == "RUN" else word for word in words.split()])


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_every_backend_scores_the_run_alike_in_batches_as_asked(
    backend: str, pair: tuple[Path, Path], tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino", reason="the package openvino is not installed")
    words = ["-t", TARGET, "--json", "--out", str(tmp_path), *QUIET]
    assert main([str(pair[1]), *words]) == 0
    expected = json.loads(capsys.readouterr().out)
    sizes: dict[type, list[int]] = {Embedder: [], OpenedOnnx: []}
    for kind in sizes:
        real = kind.__call__

        def counted(self: Any, images: Any, real: Any = real, kind: type = kind) -> Any:
            sizes[kind].append(len(images))
            return real(self, images)

        monkeypatch.setattr(kind, "__call__", counted)
    assert main(["--backend", backend, "--batch", "3", str(pair[1]), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == expected.keys() and found["queries"] == 8
    assert [found[key] for key in ("mAP", "rank1", "mINP")] == pytest.approx(
        [expected[key] for key in ("mAP", "rank1", "mINP")], abs=1e-6
    )
    computing, idle = (Embedder, OpenedOnnx) if backend == "torch" else (OpenedOnnx, Embedder)
    # Query and gallery are 8 images each; before them a file is compared with torch on 4.
    assert sizes[computing][-6:] == [3, 3, 2] * 2 and set(sizes[idle]) <= {4}


def test_a_run_that_cannot_be_written_is_scored_all_the_same(
    pair: tuple[Path, Path], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/locked")

    monkeypatch.setattr(results, "write_json", locked)
    noon = TARGET.replace("dusk", "noon")
    assert main([str(pair[0]), "-t", TARGET, noon, "--json", *QUIET]) == 0
    streams = capsys.readouterr()
    assert [target["target"] for target in json.loads(streams.out)["targets"]] == ["dusk", "noon"]
    for name in ("dusk", "noon"):
        assert f"The scores on {name} could not be kept: [Errno 13] Permission denied" in streams.err


def test_scores_are_kept_where_out_says(pair: tuple[Path, Path], tmp_path: Path, capsys: Captured) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("experiment.json", "model.safetensors"):
        (run / name).write_bytes((pair[0] / name).read_bytes())
    words = [str(run), "-t", TARGET, "--json", "--metric", "euclidean", *QUIET, "--out"]
    assert main([*words, str(tmp_path / "scores")]) == 0
    shown = json.loads(capsys.readouterr().out)
    stored = read_result(tmp_path / "scores", dataset_named(TARGET).read(Path()))
    assert stored is not None and stored.scores.mean_ap == shown["mAP"]
    assert {path.name for path in run.iterdir()} == {"experiment.json", "model.safetensors"}
    with pytest.raises(ExperimentError, match=r"that of a run holds its own.*another folder"):
        main([*words, str(pair[1])])


def test_scores_of_embeddings_are_kept_where_out_says(tmp_path: Path, capsys: Captured) -> None:
    vectors, persons, cameras = np.eye(4, dtype=np.float32), np.array([1, 2, 3, 4]), np.array([1, 1, 1, 1])
    write_features(tmp_path / "mine.npz", Features(vectors, persons, cameras), Features(vectors, persons, cameras + 1))
    words = ["--features", str(tmp_path / "mine.npz"), "--json"]
    assert main(words) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]
    assert main([*words, "--out", str(tmp_path / "scores")]) == 0
    shown = capsys.readouterr().out.splitlines()[-1]
    assert json.loads((tmp_path / "scores" / "evaluation" / "mine.json").read_text()) == json.loads(shown)


def test_scores_before_and_after_re_ranking(pair: tuple[Path, Path], tmp_path: Path, capsys: Captured) -> None:
    data = dataset_named(TARGET).read(Path())
    plain = main([str(pair[1]), "-t", TARGET, "--json", *QUIET]), json.loads(capsys.readouterr().out)
    assert plain[0] == 0 and "reranked" not in plain[1]
    rerank = ["--rerank", "--k1", "5", "--k2", "2", "--lambda", "0.4"]
    assert main([str(pair[1]), "-t", TARGET, *rerank, "--out", str(tmp_path), "--json", *QUIET]) == 0
    shown = json.loads(capsys.readouterr().out)
    again = shown.pop("reranked")
    assert shown == plain[1], "the plain scores stay what they are"
    assert again["how"] == "re-ranked k1=5 k2=2 lambda=0.4" and (again["k1"], again["lambda"]) == (5, 0.4)
    assert again["mAP"] != shown["mAP"] and again["queries"] == len(data.query)
    stored = json.loads((tmp_path / "evaluation" / "dusk.json").read_text())
    assert stored == {**shown, "reranked": again}


def test_re_ranking_of_anybodys_embeddings(rng: np.random.Generator, tmp_path: Path, capsys: Captured) -> None:
    persons, cameras = np.arange(1, 9).repeat(4), np.tile([1, 2, 3, 4], 8)
    values = (np.eye(8)[persons - 1] + 0.4 * rng.normal(size=(32, 8))).astype(np.float32)
    query, gallery = Features(values[::4], persons[::4], cameras[::4]), Features(values, persons, cameras)
    file = tmp_path / "f.npz"
    write_features(file, query, gallery)
    expected = evaluate_reranked(query, gallery, reranking=ReRanking(k1=4, k2=1), metric="euclidean")
    words = ["--features", str(file), "--metric", "euclidean", "--rerank", "--k1", "4", "--k2", "1"]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reranked"]["mAP"] == expected.mean_ap
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "f, re-ranked" in out and f" {100 * expected.mean_ap:.1f} " in out
    assert "Re-ranked k1=4 k2=1 lambda=0.3 uses all queries and gallery images as one set" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--k1", "5"], "--k1 without it"),
        (["--lambda", "0.5"], "--lambda without it"),
        (["--rerank", "--k2", "21"], "k1 20, k2 21"),
        (["--rerank", "--lambda", "1.1"], "Found: 1.1"),
    ],
)
def test_settings_of_re_ranking_are_looked_at_first(words: list[str], said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        main(["--features", "nowhere.npz", *words])


def test_several_processes_take_an_exported_file_and_no_run(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("snreid.cli.evaluate.open_session", lambda *_: sys.exit("all of them join"))
    words = [str(pair[0]), "-t", TARGET, *QUIET]
    for backend, file in (("onnxruntime", "--to onnx --out model.onnx"), ("openvino", "--to openvino --out model.xml")):
        with pytest.raises(ExperimentError, match=rf"in 2 processes\. Fix: snreid export {pair[0]} {file}"):
            main([*words, "--backend", backend])
    (tmp_path / "net.onnx").touch()
    with pytest.raises(SystemExit, match="all of them join"):
        main([str(tmp_path / "net.onnx"), *words[1:]])


def test_tracks_are_scored_by_their_means_as_in_a_file_of_extract_and_are_not_kept_in_the_run(
    pair: tuple[Path, Path], tmp_path: Path, capsys: Captured
) -> None:
    run = Path(shutil.copytree(pair[0], tmp_path / "run"))
    places = [f"{person}/c{camera}/{track}" for person in range(1, 5) for camera in (1, 2) for track in range(2)]
    draw(tmp_path / "shop", [f"{place}/{image}.png" for place in places for image in range(3)])
    pattern = "{person}/c{camera}/{track}/{*}.png"
    target = f"folder:path={tmp_path / 'shop'},pattern={pattern},labels.role=test"
    assert main([str(run), "-t", target, "--tracks", "--json", *QUIET]) == 0
    tracks = json.loads(capsys.readouterr().out)
    assert tracks["queries"] == 8 and not (run / "evaluation" / "shop.json").exists()
    out = str(tmp_path / "f.npz")
    words = [str(run), str(tmp_path / "shop"), "--pattern", pattern, "--out", out, "--device", "cpu", "--json"]
    assert extract([*words, "--tracks"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["tracks"]) == (48, 16)
    assert main(["--features", out, "--json"]) == 0
    stored = json.loads(capsys.readouterr().out)
    assert {**stored, "target": "", "split": ""} == {**tracks, "target": "", "split": ""}
    with np.load(out) as file:
        means, names = file["embeddings"], file["names"].tolist()
    assert names == [str(tmp_path / "shop" / place / "0.png") for place in places]
    embedder = snreid.load(run)
    for mean, place in zip(means.astype(float), places, strict=True):
        rows = embedder.extract(tmp_path / "shop" / place).astype(float)
        slow = sum(rows) / np.linalg.norm(sum(rows))
        np.testing.assert_allclose(mean, slow, atol=1e-5)
    rows = [f"{place}/{image}.png,{','.join(place.split('/'))},test" for place in places for image in range(3)]
    table = tmp_path / "shop" / "shop.csv"
    table.write_text("\n".join(["path,person,camera,track,split", *(row.replace(",c", ",") for row in rows)]))
    for data in (target, str(table)):
        assert extract([str(run), "--data", data, "--tracks", "--out", out, "--device", "cpu"]) == 0
        capsys.readouterr()
        assert main(["--features", out, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == stored
    for command, flags, message in (
        (main, ["--features", out, "--tracks"], "--tracks with --features"),
        (extract, [str(run), str(tmp_path / "shop"), "--tracks"], "no --pattern"),
        (extract, [*words[:3], "track/{person}/{**}", "--tracks"], r"--pattern track/\{person\}"),
    ):
        with pytest.raises(ExperimentError, match=message):
            command(flags)
