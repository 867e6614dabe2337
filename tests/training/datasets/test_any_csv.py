"""Any table of images: columns by name, concepts by map, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from osler.bottleneck.feature_cache import image_key
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.datasets import Images, open_dataset
from osler_training.datasets.tables import Rows, file_digests, inside, sex_of, years

HEADER = "image,site,patient_id,label,view,sex,age,text,split_hint,scanner"


@pytest.fixture
def folder(tmp_path: Path, write_table: Callable[..., None], write_picture: Callable[..., None]) -> Path:
    rows = [
        ("images/a.png", "north", "7", "sick", "PA", "f", "36", "x", "train", "s1"),
        ("images/b.png", "north", "7", "well", "AP", "M", "50+", "", "val", "s2"),
        ("images/c.jpg", "south", "", "odd", "", "", "", "", "", ""),
    ]
    write_table(tmp_path / "metadata.csv", HEADER, *rows)
    write_picture(tmp_path / "images" / "a.png")
    write_picture(tmp_path / "images" / "b.png", "I;16")
    write_picture(tmp_path / "images" / "c.jpg", "RGB")
    return tmp_path


def test_columns_have_their_meaning_and_others_are_attributes(folder: Path) -> None:
    images = open_dataset("any_csv", folder, name="mine")
    table = images.table
    assert table["patient"].tolist()[:2] == ["mine:7", "mine:7"]
    assert table["patient"][2].startswith("mine:image-")
    assert table["patient_known"].tolist() == [True, True, False]
    assert table["sex"].tolist() == ["F", "M", ""]
    assert table["age"][0] == 36
    assert math.isnan(table["age"][1])
    assert (table["part"][1], table["scanner"].tolist(), table["site"][2]) == ("val", ["s1", "s2", ""], "south")
    assert images.findings.columns.tolist() == ["odd", "sick", "well"]
    assert images.findings.sum(axis=1).tolist() == [1, 1, 1]
    assert [images.load(row).ndim for row in range(3)] == [2, 2, 3]
    assert images.keys[0] == image_key(file_digests([folder / "images" / "a.png"])[0])
    assert np.allclose(images.load(0), np.asarray(Image.open(folder / "images" / "a.png")) / 255)
    assert np.allclose(images.load(1), np.asarray(Image.open(folder / "images" / "b.png")) / 65535)


def test_a_label_map_leaves_the_rest_without_class(folder: Path) -> None:
    images = open_dataset("any_csv", folder, label_map={"sick": "pneumonia", "well": "normal"}, site="here")
    assert images.table["label"].tolist() == ["pneumonia", "normal", ""]
    assert images.table["raw_label"].tolist() == ["sick", "well", "odd"]
    assert set(images.table["site"]) == {"here"}
    assert images.findings.iloc[2].isna().all()


def test_colour_is_made_or_taken_and_changes_the_key(folder: Path) -> None:
    colour, grey = (open_dataset("any_csv", folder, colour=one) for one in (True, False))
    assert [colour.load(row).shape for row in range(3)] == [(7, 9, 3)] * 3
    assert [grey.load(row).shape for row in range(3)] == [(7, 9)] * 3
    assert not set(grey.keys) & set(colour.keys)


def test_concepts_come_by_a_map_or_as_flags(folder: Path, write_table: Callable[..., None]) -> None:
    attributes = "cell_size,cell_shape,nucleus_shape,nuclear_cytoplasmic_ratio,chromatin_density,cytoplasm_vacuole,"
    attributes += "cytoplasm_texture,cytoplasm_colour,granule_type,granule_colour,granularity"
    row = ("images/b.png", "big", "round", "odd", "low", "densely", "no", "clear", "blue", "nil", "nil", "")
    write_table(folder / "concepts.csv", f"image,{attributes}", row)
    images = open_dataset("any_csv", folder, concepts_file="concepts.csv", concept_map="wbcatt")
    assert images.concepts["large_cell"].tolist() == pytest.approx([math.nan, 1, math.nan], nan_ok=True)
    assert images.concepts.loc[1, ["small_cell", "cytoplasm_vacuole", "round_granules"]].tolist() == [0, 0, 0]
    assert images.concepts.loc[1, ["round_nucleus", "granular_cytoplasm", "segmented_nucleus"]].isna().all()
    write_table(
        folder / "flags.csv", "image,large_cell,odd_one", ("images/a.png", "1", ""), ("images/c.jpg", "0.0", "1")
    )
    flags = open_dataset("any_csv", folder, concepts_file="flags.csv").concepts
    assert flags["large_cell"].tolist() == pytest.approx([1, math.nan, 0], nan_ok=True)
    assert flags["odd_one"].tolist() == pytest.approx([math.nan, math.nan, 1], nan_ok=True)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"image": "file"}, Code.TABLE_INVALID),
        ({"table": "none.csv"}, Code.SOURCE_MISSING),
        ({"concept_map": "wbcatt"}, Code.USAGE),
        ({"concepts_file": "metadata.csv", "concept_map": "latin"}, Code.USAGE),
        ({"concepts_file": "metadata.csv", "concept_map": "ph2"}, Code.TABLE_INVALID),
        ({"concepts_file": "metadata.csv"}, Code.TABLE_INVALID),
        ({"findings": ["view"]}, Code.TABLE_INVALID),
        ({"missing": "ignore"}, Code.USAGE),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, options: dict[str, object], code: Code) -> None:
    with pytest.raises(OslerError) as refused:
        open_dataset("any_csv", folder, **options)
    assert refused.value.code is code


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("../x.png,,,,,,,,,", Code.PATH_OUTSIDE),
        ("images/../../x.png,,,,,,,,,", Code.PATH_OUTSIDE),
        ("C:\\x.png,,,,,,,,,", Code.PATH_OUTSIDE),
        ("images/none.png,,,,,,,,,", Code.IMAGE_MISSING),
        (",north,7,sick,,,,,,", Code.ROW_INVALID),
        ("images/a.png,,,,,,,,,", Code.ROW_REPEATED),
        ("images,,,,,,,,,", Code.IMAGE_MISSING),
    ],
)
def test_bad_rows_are_refused_or_counted(folder: Path, line: str, code: Code) -> None:
    with (folder / "metadata.csv").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(OslerError) as refused:
        open_dataset("any_csv", folder)
    assert refused.value.code is code
    if code is not Code.PATH_OUTSIDE:
        images = open_dataset("any_csv", folder, missing="skip")
        assert (len(images), images.left_out) == (3, {str(code): 1})


def test_a_table_may_have_columns_of_any_name(folder: Path) -> None:
    path = folder / "metadata.csv"
    path.write_text(path.read_text().replace("scanner", "findings").replace("text", "inverted"))
    assert open_dataset("any_csv", folder).table["findings"].tolist() == ["s1", "s2", ""]


def test_a_file_that_is_no_image_is_named_when_it_is_read(folder: Path) -> None:
    (folder / "images" / "a.png").write_text("no image")
    images = open_dataset("any_csv", folder)
    with pytest.raises(OslerError, match=r"a\.png") as refused:
        images.load(0)
    assert refused.value.code is Code.IMAGE_INVALID


def test_a_link_that_the_owner_placed_is_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("disk") / "images"
    (folder / "images").rename(elsewhere)
    (folder / "images").symlink_to(elsewhere)
    assert open_dataset("any_csv", folder).load(0).shape == (7, 9)


def test_identical_files_of_nobody_known_are_one_patient(folder: Path) -> None:
    (folder / "images" / "d.jpg").write_bytes((folder / "images" / "c.jpg").read_bytes())
    with (folder / "metadata.csv").open("a") as stream:
        stream.write("images/d.jpg,,,sick,,,,,,\n")
    patients = open_dataset("any_csv", folder).patients
    assert patients[2] == patients[3]


def test_rows_and_concat_keep_images_and_truth_together(folder: Path) -> None:
    images = open_dataset("any_csv", folder)
    some = images.rows(images.table["label"].isin(["well", "odd"]).to_numpy()).rows([1, 0])
    both = Images.concat([some, images])
    assert both.table["label"].tolist() == ["odd", "well", "sick", "well", "odd"]
    for row, label in enumerate(both.table["label"]):
        first = images.table["label"].tolist().index(label)
        assert np.array_equal(both.load(row), images.load(first))
        assert both.findings.loc[row, label] == 1
    assert len(images.rows([])) == 0
    with pytest.raises(OslerError):
        Images.concat([])


def test_concat_leaves_open_what_one_set_does_not_say(folder: Path, build: Callable[[str], Path]) -> None:
    both = Images.concat([open_dataset("any_csv", folder), open_dataset("ph2", build("ph2"))])
    assert both.concepts["asymmetry"].isna().tolist() == [True] * 3 + [False] * 3
    assert both.table["scanner"].tolist() == ["s1", "s2", "", "", "", ""]
    assert both.load(5).shape == (7, 9, 3)
    assert both.findings.loc[3, "sick"] != both.findings.loc[3, "sick"]  # NaN


@pytest.mark.parametrize(
    ("text", "age"),
    [("36", 36.0), ("058Y", 58.0), ("006M", 0.5), ("65.0", 65.0), ("0", 0.0), (36, 36.0)],
)
def test_ages_in_years(text: object, age: float) -> None:
    assert years(text) == age


@pytest.mark.parametrize("text", ["", "50+", "paediatric (1-5 y)", "-3", "414", "nan", "1e2", "Y"])
def test_what_is_no_age_is_unknown(text: str) -> None:
    assert math.isnan(years(text))


def test_sexes() -> None:
    assert [sex_of(one) for one in ("Male", "F", " female ", "unknown", "", "O")] == ["M", "F", "F", "", "", "O"]


@pytest.mark.parametrize("name", ["a/../../b", "/a", "\\\\host\\a", "c:a", "a\0b", ".."])
def test_names_that_lead_out(name: str, tmp_path: Path) -> None:
    with pytest.raises(OslerError) as refused:
        inside(tmp_path, name)
    assert refused.value.code is Code.PATH_OUTSIDE


@settings(max_examples=300, deadline=None)
@given(
    name=st.one_of(
        st.text(),
        st.lists(st.sampled_from(["..", ".", "a", "", "/", "~", "C:", "\\", "\0", "x" * 300]), max_size=6).map(
            "/".join
        ),
    )
)
def test_no_name_breaks_the_reading_or_leads_out(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp()
    rows = Rows("any", root, "skip")
    rows.add(name)
    assert len(rows.table) + sum(map(len, rows.faults.values())) == 1
    try:
        assert inside(root, name).resolve().is_relative_to(root.resolve())
    except (OslerError, OSError, RuntimeError):
        assert not rows.table
