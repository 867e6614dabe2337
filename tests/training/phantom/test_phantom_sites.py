"""A site's own idea of how its films look agrees with what reading the DICOM file gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from osler.dicom.pixels import read_image
from osler_contracts.errors import OslerError
from osler_training.phantom.dicom import Film, film_dataset, to_bytes
from osler_training.phantom.identity import identity_of
from osler_training.phantom.plan import StudyPlan
from osler_training.phantom.sites import (
    HOSPITAL_A,
    HOSPITAL_B,
    REFERENCE_SITES,
    TRANSFER_SYNTAXES,
    SiteProfile,
    random_site,
    site_named,
)
from osler_training.phantom.spec import sample_patient

NAMED = (HOSPITAL_A, HOSPITAL_B, *REFERENCE_SITES)
RANDOM = tuple(random_site(np.random.default_rng(seed)) for seed in range(6))


@pytest.mark.parametrize("site", NAMED + RANDOM, ids=lambda site: site.name)
def test_displayed_is_what_reading_the_file_gives(site: SiteProfile, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    attenuation = np.linspace(-0.1, 7.5, 96 * 96, dtype=np.float32).reshape(96, 96) + rng.normal(0, 0.02, (96, 96))
    stored = site.to_stored(attenuation.astype(np.float32))
    plan = StudyPlan(0, 0, "normal", None, 1)
    film = Film(stored, "PA", 0.8, 1)
    path = tmp_path / "film.dcm"
    path.write_bytes(to_bytes(film_dataset(film, plan, site, identity_of(plan, site, sample_patient(rng)))))
    image = read_image(path)
    np.testing.assert_allclose(image.values, site.displayed(stored), atol=1e-6)
    assert image.spacing_mm == (0.8, 0.8)
    assert image.bits == site.bits_stored


@pytest.mark.parametrize("site", NAMED + RANDOM, ids=lambda site: site.name)
def test_denser_is_brighter_and_the_window_spans_the_chest(site: SiteProfile) -> None:
    attenuation = np.linspace(0, 7, 200, dtype=np.float32)[None]
    stored = site.to_stored(attenuation)
    assert stored.max() <= site.top
    shown = site.displayed(stored)[0]
    assert (np.diff(shown) >= 0).all()
    assert shown[0] < 0.1
    assert shown[-1] == 1
    lung, heart = (shown[np.searchsorted(attenuation[0], one)] for one in (1.3, 4.2))
    assert 0.02 < lung < 0.5
    assert 0.6 < heart < 1


def test_sites_differ_and_cover_every_encoding() -> None:
    assert len({site.name for site in NAMED}) == len(NAMED)
    assert {site.transfer_syntax_uid for site in NAMED} == set(TRANSFER_SYNTAXES)
    assert {site.photometric for site in NAMED} == {"MONOCHROME1", "MONOCHROME2"}
    assert all(10 <= site.bits_stored <= 16 for site in NAMED + RANDOM)


def test_random_sites_repeat_by_seed_and_are_none_of_the_named() -> None:
    assert random_site(np.random.default_rng(3)) == RANDOM[3]
    assert len({site.response for site in NAMED + RANDOM}) == len(NAMED + RANDOM)


def test_unknown_site_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OslerError, match="hospital_a"):
        site_named("nowhere")
