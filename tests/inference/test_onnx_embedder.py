"""Other people's ONNX files: size and normalization from wherever the file tells them, and clear refusals."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snreid.errors import CheckpointError, DataError, ExperimentError
from snreid.inference.onnx_embedder import IMAGENET_MEAN, IMAGENET_STD, OnnxEmbedder

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def graph(
    path: Path,
    *,
    shape: tuple[Any, ...] = ("batch", 3, 8, 4),
    kind: int = FLOAT,
    notes: Mapping[str, str] | None = None,
    flat: bool = True,
    pool: str = "GlobalAveragePool",
) -> Path:
    """A network that gives the mean of each colour, (B, 3)."""
    helper = onnx.helper
    nodes = [helper.make_node(pool, ["images"], ["pooled"])]
    if flat:
        nodes.append(helper.make_node("Flatten", ["pooled"], ["embedding"]))
    last = "embedding" if flat else "pooled"
    out = (shape[0], 3) if flat else (shape[0], 3, None, None)
    content = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info(last, kind, out)],
    )
    model = helper.make_model(content, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, dict(notes or {}))
    onnx.save(model, str(path))
    return path


def with_outputs(path: Path, *names: str, batch: Any = "batch", less: str = "") -> Path:
    """A network whose outputs are the colours times 1, 2, 3...; ``less``: minus their mean over these axes, by the name of an operator."""
    helper = onnx.helper
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["flat", "mean"], ["apart"]),
        *(helper.make_node("Mul", [less or "flat", f"x{n}"], [name]) for n, name in enumerate(names)),
    ]
    content = helper.make_graph(
        nodes,
        "outputs",
        [helper.make_tensor_value_info("images", FLOAT, (batch, 3, 8, 4))],
        [helper.make_tensor_value_info(name, FLOAT, (batch, 3)) for name in names],
        [helper.make_tensor(f"x{n}", FLOAT, (), [n + 1.0]) for n in range(len(names))],
    )
    onnx.save(helper.make_model(content, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


@pytest.mark.parametrize(
    ("names", "asked", "factor"),
    [
        (("logits", "features"), "", 2),
        (("Embedding", "logits"), "", 1),
        (("scores",), "", 1),
        (("logits", "features"), "logits", 1),
        (("feat_local", "feat_global"), "feat_global", 2),
    ],
)
def test_the_embedding_is_the_output_of_that_name(file: Path, names: tuple[str, ...], asked: str, factor: int) -> None:
    pictures = images(3)
    found = OnnxEmbedder(path=with_outputs(file, *names), output=asked).open()(pictures)
    np.testing.assert_allclose(found, factor * colours(pictures), atol=1e-5)


@pytest.mark.parametrize(
    ("names", "asked"), [(("a", "b"), ""), (("feat_local", "feat_global"), ""), (("logits", "features"), "embedding")]
)
def test_outputs_that_leave_a_choice_are_named(file: Path, names: tuple[str, ...], asked: str) -> None:
    with pytest.raises(ExperimentError, match=f"{', '.join(names)}.*--onnx-output {names[1]}"):
        OnnxEmbedder(path=with_outputs(file, *names), output=asked).open()


@pytest.mark.parametrize("batch", ["batch", 8])
def test_an_embedding_that_depends_on_its_batch_is_refused(file: Path, batch: Any) -> None:
    with pytest.raises(CheckpointError, match=r"alone and among four, embeddings differ by [0-9.]+"):
        OnnxEmbedder(path=with_outputs(file, "embedding", less="apart", batch=batch)).open()
    assert OnnxEmbedder(path=with_outputs(file, "embedding", batch=batch)).open().batch == (
        None if batch == "batch" else batch
    )


def test_blue_green_red_is_the_mirror_of_red_green_blue(file: Path) -> None:
    pictures = images(2)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    found = OnnxEmbedder(path=graph(file), mean=mean, std=std, bgr=True).open()(pictures)
    np.testing.assert_allclose(found, colours(pictures, mean, std)[:, ::-1], atol=1e-5)


def test_an_assumed_normalization_is_told(file: Path) -> None:
    (note,) = OnnxEmbedder(path=graph(file)).open().notes
    assert "mean and std" in note
    (note,) = OnnxEmbedder(path=graph(file), mean=(0.0, 0.0, 0.0)).open().notes
    assert "std" in note and "mean" not in note
    assert not OnnxEmbedder(path=graph(file, notes={"snreid.mean": "0,0,0", "snreid.std": "1,1,1"})).open().notes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "net.onnx"


def images(count: int, height: int = 8, width: int = 4) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(count).integers(0, 256, size=(count, height, width, 3), dtype=np.uint8)


def colours(pictures: np.ndarray[Any, Any], mean: Any = IMAGENET_MEAN, std: Any = IMAGENET_STD) -> Any:
    """What the network has to give, in float64."""
    return (pictures.astype(np.float64) / 255).mean(axis=(1, 2)) / std - np.array(mean) / std


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("batch", ["batch", 1, 2])
@pytest.mark.parametrize("flat", [True, False])
def test_fixed_and_dynamic_batches(file: Path, batch: Any, count: int, flat: bool) -> None:
    embedder = OnnxEmbedder(path=graph(file, shape=(batch, 3, 8, 4), flat=flat)).open()
    assert (embedder.height, embedder.width) == (8, 4)
    found = embedder(images(count))
    assert found.shape == (count, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found, colours(images(count)), atol=1e-5)


def test_half_precision(file: Path) -> None:
    found = OnnxEmbedder(path=graph(file, kind=HALF)).open()(images(3))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, colours(images(3)), atol=5e-3)


def test_normalized_floats_are_passed_on(file: Path) -> None:
    embedder = OnnxEmbedder(path=graph(file)).open()
    values = np.random.default_rng(0).normal(size=(2, 3, 8, 4))
    np.testing.assert_allclose(embedder(values), values.mean(axis=(2, 3)), atol=1e-6)


FREE = ("batch", 3, "height", "width")


def test_the_size_may_be_given(file: Path) -> None:
    embedder = OnnxEmbedder(path=graph(file, shape=FREE), height=6, width=2).open()
    assert embedder(images(2, 6, 2)).shape == (2, 3)


def test_the_metadata_tells_size_and_normalization(file: Path) -> None:
    notes = {
        "snreid.height": "6",
        "snreid.width": "2",
        "snreid.mean": "0.5, 0.5,0.5",
        "snreid.std": "0.25,0.5,1",
    }
    embedder = OnnxEmbedder(path=graph(file, shape=FREE, notes=notes)).open()
    assert (embedder.height, embedder.width) == (6, 2)
    found = embedder(images(2, 6, 2))
    np.testing.assert_allclose(found, colours(images(2, 6, 2), (0.5, 0.5, 0.5), (0.25, 0.5, 1)), atol=1e-5)
    given = OnnxEmbedder(path=file, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), width=3).open()
    assert (given.height, given.width, given.mean, given.std) == (6, 3, (0, 0, 0), (1, 1, 1))


def test_boxmots_side_car_tells_the_size_and_the_graph_overrides_it(file: Path) -> None:
    sidecar = file.with_name("net.onnx.metadata.json")
    sidecar.write_text(json.dumps({"model_name": "x", "img_size": [6, 2], "preprocess": "resize"}))
    embedder = OnnxEmbedder(path=graph(file, shape=FREE)).open()
    assert (embedder.height, embedder.width, embedder.mean) == (6, 2, IMAGENET_MEAN)
    assert OnnxEmbedder(path=graph(file)).open().height == 8


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ('{"img_size": [6, 2], "preprocess": "resize_pad"}', ExperimentError, "without padding"),
        ('{"img_size": 6}', CheckpointError, "metadata.json"),
        ('{"img_size": [6, 0]}', CheckpointError, "in pixels"),
        ("[1]", CheckpointError, "not an object"),
        ("{", CheckpointError, "metadata.json"),
        ("{}", ExperimentError, "--height"),
    ],
)
def test_a_wrong_side_car_is_refused(file: Path, content: str, error: type[Exception], message: str) -> None:
    graph(file, shape=FREE)
    file.with_name("net.onnx.metadata.json").write_text(content)
    with pytest.raises(error, match=message):
        OnnxEmbedder(path=file).open()


def test_a_size_that_nobody_knows(file: Path) -> None:
    with pytest.raises(ExperimentError, match="--height 256 --width 128"):
        OnnxEmbedder(path=graph(file, shape=FREE)).open()


def test_a_size_against_the_graph(file: Path) -> None:
    with pytest.raises(ExperimentError, match="--height 16, the graph wants 8"):
        OnnxEmbedder(path=graph(file), height=16, width=4).open()


@pytest.mark.parametrize("notes", [{"snreid.height": "6.5"}, {"snreid.mean": "0.5,0.5"}, {"snreid.std": "1,1,0"}])
def test_wrong_metadata_is_refused(file: Path, notes: dict[str, str]) -> None:
    shape = FREE if "snreid.height" in notes else ("batch", 3, 8, 4)
    with pytest.raises(CheckpointError, match=next(iter(notes))):
        OnnxEmbedder(path=graph(file, shape=shape, notes=notes)).open()


def test_missing_damaged_and_foreign_files(file: Path) -> None:
    with pytest.raises(CheckpointError, match="must exist"):
        OnnxEmbedder(path=file).open()
    whole = graph(file).read_bytes()
    for content in (b"hello", whole[: len(whole) // 2], whole[::-1]):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"net\.onnx"):
            OnnxEmbedder(path=file).open()


def test_graphs_that_are_no_image_embedders(file: Path) -> None:
    for shape in (("batch", 1, 8, 4), ("batch", 3, 8, 4, 2)):
        with pytest.raises(CheckpointError, match="one input"):
            OnnxEmbedder(path=graph(file, shape=shape)).open()
    with pytest.raises(CheckpointError, match=r"one embedding per image.*\(4, 3, 8, 4\)"):
        OnnxEmbedder(path=graph(file, flat=False, pool="Relu")).open()


@pytest.mark.parametrize("wrong", [images(2, 4, 8), images(2).astype(np.int32), images(2)[0], images(2)[:0]])
def test_images_of_another_size_or_type_are_refused(file: Path, wrong: Any) -> None:
    with pytest.raises(DataError, match=r"uint8 \(B, 8, 4, 3\)"):
        OnnxEmbedder(path=graph(file)).open()(wrong)


@pytest.mark.parametrize(
    "change", [{"height": 0}, {"width": -1}, {"std": (1.0, 1.0, 0.0)}, {"mean": (0.0, 0.0, np.nan)}, {"threads": -1}]
)
def test_impossible_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ExperimentError):
        OnnxEmbedder(path=Path("net.onnx"), **change)


@pytest.mark.parametrize(("given", "quota", "expected"), [(0, None, 0), (0, 3, 3), (2, 3, 2)])
def test_a_containers_quota_counts_where_no_threads_are_said(
    given: int, quota: int | None, expected: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snreid.inference.onnx_embedder.core_quota", lambda: quota)
    session = OnnxEmbedder(path=graph(file), threads=given).open().session
    assert session.get_session_options().intra_op_num_threads == expected


def test_without_onnxruntime_the_command_to_install_it_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph(file)

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ExperimentError, match=r'pip install "snreid\[onnx\]"'):
        OnnxEmbedder(path=file).open()
