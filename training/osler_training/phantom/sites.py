"""Hospitals that do not exist: how each turns what the detector saw into stored values, files and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from osler.dicom.windowing import apply_window
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

Values = NDArray[np.float32]
Stored = NDArray[np.uint16]

TRANSFER_SYNTAXES = (
    str(ExplicitVRLittleEndian),
    str(JPEG2000Lossless),
    str(JPEGLSLossless),
    str(RLELossless),
)
REPORT_STYLES = ("plain", "structured", "terse", "verbose")
MARKER_STYLES = ("letter", "ringed", "initials", "word")


@dataclass(frozen=True)
class Response:
    """From attenuation to a fraction of the stored range, 0 for unattenuated and 1 for fully attenuated.

    Attributes:
        kind: `power`: ((a - low) / (high - low)) ** shape; `sigmoid`: the logistic curve through `low` and `high` at 5 %
            and 95 %, which ignores `shape`.
        low: Attenuation where the curve starts.
        high: Attenuation where it ends.
        shape: Exponent of the power.
    """

    kind: str
    low: float
    high: float
    shape: float = 1.0

    def __call__(self, attenuation: Values) -> Values:
        """Return fractions in [0, 1]."""
        if self.kind == "power":
            rise = np.clip((attenuation - self.low) / (self.high - self.low), 0, 1)
            return np.asarray(rise ** np.float32(self.shape), np.float32)
        steep = 2 * np.log(19) / (self.high - self.low)
        centre = (self.high + self.low) / 2
        return np.asarray(1 / (1 + np.exp(-np.float32(steep) * (attenuation - np.float32(centre)))), np.float32)


@dataclass(frozen=True)
class SiteProfile:
    """Everything that tells one hospital's films from another's, disease apart.

    Attributes:
        name: Name of the profile.
        response: Curve from attenuation to the stored range.
        display: For each window, the (lowest, highest) attenuation that it shows; the first is the default.
        photometric: MONOCHROME1 or MONOCHROME2.
        bits_stored: 10 to 16.
        transfer_syntax_uid: One of `TRANSFER_SYNTAXES`.
        share_portable: Share of studies taken as AP portables.
        share_lateral: Share of studies with a lateral film too.
        share_two_frontals: Share of studies with a repeated frontal film.
        marker: One of `MARKER_STYLES`.
        marker_at: Where the side marker lies, x and y in mm of the field; it is on the patient's left.
        collimation_mm: Mean width of the collimated margin.
        scatter: Ratio of scattered to primary radiation.
        photons: Quanta per pixel without attenuation.
        device_rates: Chance of each device.
        report_style: One of `REPORT_STYLES`.
        institution: Invented name of the hospital.
        vendor: Invented manufacturer.
        model: Invented model name.
    """

    name: str
    response: Response
    display: tuple[tuple[float, float], ...]
    photometric: str
    bits_stored: int
    transfer_syntax_uid: str
    share_portable: float
    share_lateral: float
    share_two_frontals: float
    marker: str
    marker_at: tuple[float, float]
    collimation_mm: float
    scatter: float
    photons: float
    report_style: str
    institution: str
    vendor: str
    model: str
    device_rates: Mapping[str, float] = field(default_factory=dict)

    @property
    def top(self) -> int:
        """Greatest stored value."""
        return (1 << self.bits_stored) - 1

    @property
    def windows(self) -> tuple[tuple[float, float], ...]:
        """Window Center and Window Width in stored values, whole numbers."""
        return tuple(self._window(low, high) for low, high in self.display)

    def _window(self, low: float, high: float) -> tuple[float, float]:
        ends = sorted(int(self.quantise(self.response(np.array([one], np.float32)))[0]) for one in (low, high))
        return float((ends[0] + ends[1]) // 2), float(max(ends[1] - ends[0], 2))

    def quantise(self, fraction: Values) -> Stored:
        """Return stored values of fractions in [0, 1] where 1 is dense; in MONOCHROME1 dense is stored low."""
        seen = 1 - fraction if self.photometric == "MONOCHROME1" else fraction
        return np.asarray(np.rint(np.clip(seen, 0, 1) * np.float32(self.top)), np.uint16)

    def to_stored(self, attenuation: Values) -> Stored:
        """Return stored values of attenuation = -log(transmitted share)."""
        return self.quantise(self.response(attenuation))

    def displayed(self, stored: Stored) -> Values:
        """Return fractions in [0, 1], dense bright, as `osler.dicom.pixels.read_image` gives them for the first window."""
        shown = apply_window(stored, *self.windows[0])
        return np.float32(1) - shown if self.photometric == "MONOCHROME1" else shown


HOSPITAL_A = SiteProfile(
    name="hospital_a",
    response=Response("power", 0.2, 6.2, 0.9),
    display=((0.6, 5.3), (2.0, 5.8)),
    photometric="MONOCHROME2",
    bits_stored=12,
    transfer_syntax_uid=str(JPEGLSLossless),
    share_portable=0.25,
    share_lateral=0.2,
    share_two_frontals=0.05,
    marker="ringed",
    marker_at=(152, 40),
    collimation_mm=5,
    scatter=0.33,
    photons=6e4,
    report_style="plain",
    institution="Alder Valley General Hospital",
    vendor="Lumenara Imaging",
    model="Lumenara DR-200",
    device_rates={"endotracheal_tube": 0.04, "central_venous_line": 0.08, "ecg_leads": 0.2, "pacemaker": 0.06},
)
HOSPITAL_B = SiteProfile(
    name="hospital_b",
    response=Response("sigmoid", 0.6, 5.0),
    display=((0.5, 5.3),),
    photometric="MONOCHROME1",
    bits_stored=14,
    transfer_syntax_uid=str(RLELossless),
    share_portable=0.45,
    share_lateral=0.2,
    share_two_frontals=0.05,
    marker="initials",
    marker_at=(140, 350),
    collimation_mm=10,
    scatter=0.42,
    photons=4e4,
    report_style="structured",
    institution="Birch Harbour Infirmary",
    vendor="Kestrel Medical Optics",
    model="Kestrel Mobile 5",
    device_rates={"endotracheal_tube": 0.08, "central_venous_line": 0.14, "ecg_leads": 0.35, "pacemaker": 0.08},
)

# The hospital that comes later: the demonstration never sees it, and whoever tries adaptation out begins there.
HOSPITAL_C = SiteProfile(
    name="hospital_c",
    response=Response("power", 0.1, 5.4, 1.3),
    display=((0.3, 4.6),),
    photometric="MONOCHROME2",
    bits_stored=10,
    transfer_syntax_uid=str(JPEG2000Lossless),
    share_portable=0.7,
    share_lateral=0.1,
    share_two_frontals=0.05,
    marker="word",
    marker_at=(150, 60),
    collimation_mm=14,
    scatter=0.5,
    photons=2.5e4,
    report_style="terse",
    institution="Grey Fen District Hospital",
    vendor="Ostrava Roentgen Works",
    model="Fen 3 Portable",
    device_rates={"endotracheal_tube": 0.15, "central_venous_line": 0.25, "ecg_leads": 0.5, "pacemaker": 0.1},
)


def _reference(
    number: int,
    response: Response,
    display: tuple[tuple[float, float], ...],
    photometric: str,
    bits: int,
    at: tuple[float, float],
) -> SiteProfile:
    institution = ("Cedar Hill Clinic", "Dunmore Lake Hospital", "Elmwick Teaching Hospital", "Fernbank Chest Centre")
    return SiteProfile(
        name=f"reference_{number + 1}",
        response=response,
        display=display,
        photometric=photometric,
        bits_stored=bits,
        transfer_syntax_uid=TRANSFER_SYNTAXES[number],
        share_portable=0.15 + 0.12 * number,
        share_lateral=0.2,
        share_two_frontals=0.05,
        marker=MARKER_STYLES[number],
        marker_at=at,
        collimation_mm=3 + 3 * number,
        scatter=0.28 + 0.06 * number,
        photons=(8e4, 6e4, 5e4, 3e4)[number],
        report_style=REPORT_STYLES[number],
        institution=institution[number],
        vendor=("Norden X", "Solvane Systems", "Pellucid Works", "Tarn Radiography")[number],
        model=f"Mark {number + 3}",
        device_rates={"endotracheal_tube": 0.05, "central_venous_line": 0.1, "ecg_leads": 0.25, "pacemaker": 0.06},
    )


REFERENCE_SITES = (
    _reference(0, Response("power", 0.0, 6.0, 1.0), ((0.5, 5.3), (2.0, 5.8)), "MONOCHROME2", 12, (150, 44)),
    _reference(1, Response("sigmoid", 0.4, 5.2), ((0.4, 5.4),), "MONOCHROME1", 10, (156, 200)),
    _reference(2, Response("power", 0.2, 6.4, 1.15), ((0.7, 5.4), (2.0, 6.0)), "MONOCHROME2", 16, (146, 356)),
    _reference(3, Response("sigmoid", 0.8, 5.0), ((0.6, 5.2),), "MONOCHROME1", 13, (138, 30)),
)


def random_site(rng: np.random.Generator) -> SiteProfile:
    """Draw a hospital for the encoder's training; it is none of the named ones, whose figures it can only come near."""
    low, high = float(rng.uniform(0.0, 0.4)), float(rng.uniform(5.8, 6.6))
    power = bool(rng.random() < 0.5)
    response = (
        Response("power", low, high, float(rng.uniform(0.8, 1.3)))
        if power
        else Response("sigmoid", low + 0.4, high - 1.0)
    )
    tag = int(rng.integers(1 << 31))
    return SiteProfile(
        name=f"random_{tag:08x}",
        response=response,
        display=((float(rng.uniform(0.4, 0.8)), float(rng.uniform(5.0, 5.7))),),
        photometric=str(rng.choice(["MONOCHROME1", "MONOCHROME2"])),
        bits_stored=int(rng.integers(10, 17)),
        transfer_syntax_uid=str(rng.choice(TRANSFER_SYNTAXES)),
        share_portable=float(rng.uniform(0, 0.7)),
        share_lateral=0.0,
        share_two_frontals=0.0,
        marker=str(rng.choice(MARKER_STYLES)),
        marker_at=(float(rng.uniform(130, 165)), float(rng.uniform(25, 370))),
        collimation_mm=float(rng.uniform(0, 14)),
        scatter=float(rng.uniform(0.22, 0.5)),
        photons=float(np.exp(rng.uniform(np.log(2.5e4), np.log(9e4)))),
        report_style=str(rng.choice(REPORT_STYLES)),
        institution=f"Hospital {tag % 10000:04d}",
        vendor="Various",
        model=f"Unit {tag % 97}",
        device_rates={
            name: float(rng.uniform(0, 0.35))
            for name in ("central_venous_line", "ecg_leads", "endotracheal_tube", "pacemaker")
        },
    )


NAMED_SITES: Mapping[str, tuple[SiteProfile, ...]] = {
    "hospital_a": (HOSPITAL_A,),
    "hospital_b": (HOSPITAL_B,),
    "hospital_c": (HOSPITAL_C,),
    "reference": REFERENCE_SITES,
}


def site_named(name: str) -> tuple[SiteProfile, ...]:
    """Return the profiles behind a name. Raises `usage` for an unknown one."""
    if name not in NAMED_SITES:
        raise OslerError(Code.USAGE, f"There is no phantom site {name}.", f"Known ones: {', '.join(NAMED_SITES)}.")
    return NAMED_SITES[name]
