"""Damaged files: repeatable by their seed, of every kind, and never twice the same instance."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from osler.dicom import header
from osler.dicom.header import read_header
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_training.fuzz import streams
from osler_training.fuzz.elements import UNDEFINED, take_apart
from osler_training.fuzz.generate import ALL_MUTATIONS, mutants, pydicom_files

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
BASES = [FILES / name for name in ("CT_small.dcm", "MR_small_RLE.dcm", "MR_small_implicit.dcm", "JPEG2000.dcm")]


@pytest.fixture(autouse=True)
def _small_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deflate little: packing a gigabyte takes seconds."""
    monkeypatch.setattr(streams, "_BOMB_BYTES", (1 << 10, 1 << 20, 2 << 20))


def test_every_mutation_is_used_and_repeats_by_seed() -> None:
    count = 2 * len(ALL_MUTATIONS)
    made = list(mutants(BASES, count, seed=5))
    assert Counter(mutant.mutations[0] for mutant in made) == dict.fromkeys(ALL_MUTATIONS, 2)
    again = [*mutants(BASES, 10, seed=5), *mutants(BASES, count - 10, seed=5, first=10)]
    assert made == again
    assert made != list(mutants(BASES, count, seed=6))


def test_most_files_are_really_damaged() -> None:
    originals = {path.name: path.read_bytes() for path in BASES}
    made = list(mutants(BASES, 3 * len(ALL_MUTATIONS), seed=1))
    lengths = Counter(len(mutant.content) == len(originals[mutant.base]) for mutant in made)
    assert lengths[False] > 10
    assert len({mutant.content for mutant in made}) == len(made)


def test_places_are_those_of_the_elements() -> None:
    for base in BASES:
        layout = take_apart(base.read_bytes())
        dataset = dcmread(base)
        assert {int(place.tag) for place in layout.places} == {int(element.tag) for element in dataset}
        name = layout.place(0x00100010)
        assert name is not None
        assert layout.content[name.value : name.end].decode().rstrip() == str(dataset.PatientName)
        encoded = layout.element(0x00100010, name.vr, layout.content[name.value : name.end])
        assert layout.content[name.start : name.end] == encoded
        assert layout.inserted(0x00100010, encoded) == layout.content
    packed = take_apart(BASES[1].read_bytes()).place(0x7FE00010)
    assert packed is not None
    assert packed.length == UNDEFINED


def test_a_deflated_bomb_is_refused_before_it_is_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = take_apart(BASES[0].read_bytes())
    assert layout.syntax == ExplicitVRLittleEndian
    monkeypatch.setattr(streams, "_BOMB_BYTES", (8 << 20,) * 3)
    path = tmp_path / "bomb.dcm"
    path.write_bytes(streams.deflate_bombs(layout, np.random.default_rng(1)))
    assert path.stat().st_size < 100_000
    assert read_header(path).row["rows"] == "128"
    monkeypatch.setattr(header, "MAX_INFLATED_BYTES", 4 << 20)
    with pytest.raises(OslerError) as caught:
        read_header(path)
    assert caught.value.code is Code.ABSURD_SIZE


def test_pydicoms_files_are_bases() -> None:
    names = {path.name for path in pydicom_files()}
    assert {"CT_small.dcm", "SC_rgb_jpeg_gdcm.dcm", "examples_overlay.dcm", "rtdose_rle.dcm"} <= names
    assert len(names) > 80


def test_a_seed_gives_the_same_files_in_every_process() -> None:
    program = (
        "import hashlib; from osler_training.fuzz.generate import mutants, pydicom_files; "
        "made = mutants(pydicom_files()[:3], 200, 5); "
        "print(hashlib.sha256(b''.join(one.content for one in made)).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
