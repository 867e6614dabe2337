"""Named measurements of a lesion in a dermoscopic image, each with its unit and how it is taken; NaN where it cannot be.

They follow what dermatologists count: asymmetry, border, colours and structures (the ABCD rule, Stolz et al. 1994; the
seven-point list, Argenziano et al. 1998). Lengths are shares of the lesion or of the frame, so that the magnification
changes nothing but the diameter. Colours are CIELAB (CIE 1976, D65) as the camera gave them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.color import lab2rgb, rgb2lab
from skimage.filters import gaussian, sobel
from skimage.measure import label, perimeter, regionprops
from skimage.morphology import black_tophat, convex_hull_image, disk, opening, remove_small_objects
from skimage.transform import AffineTransform, warp

from osler.bottleneck.records import Array, BoolArray
from osler.morphometry.golden import golden_lesion
from osler.morphometry.lesion import Lesion, LesionParameters, NoLesion, segment, without_hair
from osler.morphometry.rules import Measurement, Reading, RuleSet

VERSION = 1  # Raised whenever a measurement is taken differently: the digest of the encoder covers it.
DIAMETER = 128
# Every image is brought to a skin of this colour (sRGB): what a lamp or a camera does to skin it does to the lesion too.
SKIN = (0.85, 0.68, 0.60)
SIX = ("black", "blue_gray", "white", "red", "dark_brown", "light_brown")
PRESENT = 0.05  # Share of a lesion from which one of the six counts as there.
LEAST = 60  # Pixels of the frame below which a lesion has no structures.


@dataclass(frozen=True, eq=False)
class FramedLesion:
    """A lesion turned to its long axis and brought to a disc of equal area `DIAMETER` pixels wide.

    Attributes:
        lesion: As it was found.
        image: Image (s, s, 3) in [0, 1] around the lesion, hairs replaced, its long axis level.
        mask: The lesion (s, s).
        seen: Lesion without hair and shine's reach: where colours are measured (s, s).
        skin: The skin's colour under each pixel, CIELAB (s, s, 3).
    """

    lesion: Lesion
    image: Array
    mask: BoolArray
    seen: BoolArray
    skin: Array

    @classmethod
    def of(cls, lesion: Lesion) -> FramedLesion:
        """Cut it out, turned about its centre of area."""
        one = _properties(lesion.mask)
        factor = 2 * np.sqrt(lesion.mask.sum() / np.pi) / DIAMETER
        side = int(np.ceil(1.25 * max(one.axis_major_length, one.axis_minor_length * 1.2) / factor)) + 8
        row, column = one.centroid
        turn = np.pi / 2 - one.orientation  # From the x axis; skimage counts from the axis of rows.
        move = AffineTransform(translation=(-(side - 1) / 2, -(side - 1) / 2))
        back = AffineTransform(scale=factor, rotation=turn, translation=(column, row))
        place = move + back
        clear = without_hair(lesion.image, lesion.hair)

        def cut(values: Array, mode: str) -> Array:
            return np.asarray(warp(values, place, output_shape=(side, side), order=1, mode=mode))

        # Blurred before it is cut, or the pixels of the image would be steps of the border.
        mask = cut(gaussian(lesion.mask.astype(float), 1.0, mode="nearest"), "constant") > 0.5
        hair = cut(lesion.hair.astype(float), "constant") > 0.3
        skin = np.dstack([cut(lesion.skin[..., channel] / 100, "edge") * 100 for channel in range(3)])
        return cls(lesion, np.clip(cut(clear, "edge"), 0, 1), mask, mask & ~hair, skin)

    @cached_property
    def lab(self) -> Array:
        """CIELAB (s, s, 3), slightly blurred: colours are those of areas, not of grain."""
        return np.asarray(rgb2lab(gaussian(self.image, 1.0, channel_axis=2)))

    @cached_property
    def inner(self) -> Array:
        """Colours of the lesion that are seen, CIELAB (n, 3)."""
        return np.asarray(self.lab[self.seen])

    @cached_property
    def adapted(self) -> Array:
        """CIELAB after each channel was multiplied by what brings the skin under it to `SKIN` (s, s, 3)."""
        blurred = gaussian(self.image, 1.0, channel_axis=2)
        gain = np.array(SKIN) / np.maximum(lab2rgb(self.skin), 0.1)
        return np.asarray(rgb2lab(np.clip(blurred * gain, 0, 1)))

    @cached_property
    def kinds(self) -> dict[str, float]:
        """Share of the lesion of each of the six dermoscopic colours; the first rule that holds names a pixel.

        Black: L* below 28. Blue-gray: b* below 6, a* below 14, L* below 66. White: L* from 77, or from 66 with a chroma
        below 14. Red: a* from 24, hue below 42 degrees. Dark brown: L* below 46. Light brown: L* below 66. Else skin.
        """
        light, a, b = self.adapted[self.seen].T
        rules = (
            light < 28,
            (b < 6) & (a < 14) & (light < 66),
            (light >= 77) | ((light >= 66) & (np.hypot(a, b) < 14)),
            (a >= 24) & (np.degrees(np.arctan2(b, a)) < 42),
            light < 46,
            light < 66,
        )
        first = np.select(rules, range(len(rules)), default=len(rules))
        shares = np.bincount(first, minlength=len(rules) + 1) / max(len(first), 1)
        return dict(zip(SIX, shares[: len(SIX)].tolist(), strict=True))

    @cached_property
    def depth(self) -> Array:
        """Distance of each pixel of the lesion to its border, in radii of its disc (s, s)."""
        inside = ndimage.distance_transform_edt(np.pad(self.mask, 1))[1:-1, 1:-1]
        return np.asarray(inside / (DIAMETER / 2))

    @cached_property
    def lightness(self) -> Array:
        """L* without blur (s, s)."""
        return np.asarray(rgb2lab(self.image)[..., 0])

    @cached_property
    def core(self) -> BoolArray:
        """Lesion without its blurred edge (s, s)."""
        return np.asarray(self.seen & (self.depth > 0.06))

    def blurred_inside(self, sigma: float) -> Array:
        """Return L* blurred among the pixels of the core alone (s, s): what lies around the lesion is no texture of it."""
        weight = gaussian(self.core.astype(float), sigma)
        return np.asarray(gaussian(self.lightness * self.core, sigma) / np.maximum(weight, 1e-6))

    @cached_property
    def spots(self) -> list[Any]:
        """Dark round spots in the lesion: what a black top-hat of radius 5 finds, 6 L* or more darker than around."""
        dark = (black_tophat(gaussian(self.lightness, 1.0), disk(5)) >= 6.0) & self.core
        return [one for one in regionprops(label(dark)) if 6 <= one.area <= 120 and one.eccentricity < 0.9]


def _properties(mask: BoolArray) -> Any:
    return regionprops(mask.astype(np.uint8))[0]


def _folded(mask: BoolArray, axis: int) -> float:
    return float((mask ^ np.flip(mask, axis)).sum() / (2 * max(mask.sum(), 1)))


def _folded_colour(one: FramedLesion, axis: int) -> float:
    both = one.seen & np.flip(one.seen, axis)
    if both.sum() < LEAST:
        return float("nan")
    off = gaussian(one.lab, 3.0, channel_axis=2)
    return float(np.sqrt(((off - np.flip(off, axis)) ** 2).sum(axis=2))[both].mean())


def area_share(one: FramedLesion) -> float:
    """Area of the lesion over the area of the field of view."""
    return float(one.lesion.mask.sum() / one.lesion.field.sum())


def diameter_share(one: FramedLesion) -> float:
    """Largest distance between two points of the lesion (Feret) over the longer side of the frame."""
    return float(_properties(one.lesion.mask).feret_diameter_max / max(one.lesion.mask.shape))


def cut_share(one: FramedLesion) -> float:
    """Share of the lesion's border that the frame or the field of view cuts: there its shape is not known."""
    mask = one.lesion.mask
    border = mask & ~ndimage.binary_erosion(mask)
    beyond = ndimage.binary_dilation(~np.pad(one.lesion.field, 1), iterations=2)[1:-1, 1:-1]
    return float((border & beyond).sum() / max(border.sum(), 1))


def asymmetry_long_axis(one: FramedLesion) -> float:
    """Share of the lesion that finds no counterpart when it is folded along its long axis: 0 for an ellipse."""
    return _folded(one.mask, 0)


def asymmetry_short_axis(one: FramedLesion) -> float:
    """Share of the lesion that finds no counterpart when it is folded along its short axis: 0 for an ellipse."""
    return _folded(one.mask, 1)


def colour_asymmetry_long_axis(one: FramedLesion) -> float:
    """Mean distance in CIELAB between what comes together when the lesion is folded along its long axis."""
    return _folded_colour(one, 0)


def colour_asymmetry_short_axis(one: FramedLesion) -> float:
    """Mean distance in CIELAB between what comes together when the lesion is folded along its short axis."""
    return _folded_colour(one, 1)


def compactness(one: FramedLesion) -> float:
    """Perimeter squared over 4 pi area: 1 for a disc, more for any other outline."""
    return float(perimeter(one.mask) ** 2 / (4 * np.pi * max(one.mask.sum(), 1)))


def solidity(one: FramedLesion) -> float:
    """Area of the lesion over the area of its convex hull."""
    return float(one.mask.sum() / convex_hull_image(one.mask).sum())


def eccentricity(one: FramedLesion) -> float:
    """Eccentricity of the ellipse with the second moments of the lesion: 0 for a disc."""
    return float(_properties(one.mask).eccentricity)


def border_deviation(one: FramedLesion) -> float:
    """Standard deviation of the distance of the border to the ellipse of the same second moments, in radii of the disc."""
    region = _properties(one.mask)
    rows, columns = np.nonzero(one.mask & ~ndimage.binary_erosion(one.mask))
    y, x = rows - region.centroid[0], columns - region.centroid[1]
    turn = region.orientation
    along, across = y * np.cos(turn) + x * np.sin(turn), x * np.cos(turn) - y * np.sin(turn)
    reach = np.hypot(along / max(region.axis_major_length / 2, 1), across / max(region.axis_minor_length / 2, 1))
    radius = np.hypot(along, across) / np.maximum(reach, 1e-6)
    return float(np.std(np.hypot(along, across) - radius) / (DIAMETER / 2))


def border_dimension(one: FramedLesion) -> float:
    """Box-counting dimension of the border, boxes of 2 to 16 pixels of the frame: 1 for a smooth line."""
    border = one.mask & ~ndimage.binary_erosion(one.mask)
    sizes = np.array([2, 4, 8, 16])
    counts = []
    for size in sizes:
        short = [-length % size for length in border.shape]
        padded = np.pad(border, [(0, short[0]), (0, short[1])])
        boxes = padded.reshape(padded.shape[0] // size, size, padded.shape[1] // size, size)
        counts.append(max(int(boxes.any(axis=(1, 3)).sum()), 1))
    return float(-np.polyfit(np.log(sizes), np.log(counts), 1)[0])


def border_sharpness(one: FramedLesion) -> float:
    """Mean gradient of L* across the border, a tenth of a radius to both sides, in L* a hundredth of the radius."""
    near = ndimage.binary_dilation(one.mask, iterations=6) & ~ndimage.binary_erosion(one.mask, iterations=6)
    return float(sobel(one.lab[..., 0])[near].mean() * (DIAMETER / 200))


def border_sharpness_deviation(one: FramedLesion) -> float:
    """Coefficient of variation of that gradient between eight sectors of the border: high where it fades in places."""
    near = ndimage.binary_dilation(one.mask, iterations=6) & ~ndimage.binary_erosion(one.mask, iterations=6)
    rows, columns = np.nonzero(near)
    row, column = np.mean(np.nonzero(one.mask), axis=1)
    sector = (np.floor((np.arctan2(rows - row, columns - column) + np.pi) / (np.pi / 4)).astype(int)) % 8
    means = np.array([sobel(one.lab[..., 0])[near][sector == one_].mean() for one_ in np.unique(sector)])
    return float(means.std() / max(means.mean(), 1e-9))


def contrast(one: FramedLesion) -> float:
    """Mean distance in CIELAB of the lesion from the skin that was fitted under it."""
    return float(np.sqrt(((one.inner - one.skin[one.seen]) ** 2).sum(axis=1)).mean())


def lightness(one: FramedLesion) -> float:
    """Mean L* of the lesion less that of the skin under it."""
    return float((one.inner - one.skin[one.seen])[:, 0].mean())


def red_green(one: FramedLesion) -> float:
    """Mean a* of the lesion less that of the skin under it: positive towards red."""
    return float((one.inner - one.skin[one.seen])[:, 1].mean())


def yellow_blue(one: FramedLesion) -> float:
    """Mean b* of the lesion less that of the skin under it: negative towards blue."""
    return float((one.inner - one.skin[one.seen])[:, 2].mean())


def darkest(one: FramedLesion) -> float:
    """Fifth percentile of L* in the lesion."""
    return float(np.percentile(one.inner[:, 0], 5))


def lightness_deviation(one: FramedLesion) -> float:
    """Standard deviation of L* in the lesion."""
    return float(one.inner[:, 0].std())


def hue_deviation(one: FramedLesion) -> float:
    """Root of the summed variances of a* and b* in the lesion."""
    return float(np.sqrt(one.inner[:, 1:].var(axis=0).sum()))


def white_share(one: FramedLesion) -> float:
    """Share of the lesion that is white: lighter than skin, or as light and hardly coloured, after the skin was brought to one colour."""
    return one.kinds["white"]


def red_share(one: FramedLesion) -> float:
    """Share of the lesion that is red: of a* 24 or more and a hue below 42 degrees, after the skin was brought to one colour."""
    return one.kinds["red"]


def light_brown_share(one: FramedLesion) -> float:
    """Share of the lesion that is light brown: brown of L* 46 to 66, after the skin was brought to one colour."""
    return one.kinds["light_brown"]


def dark_brown_share(one: FramedLesion) -> float:
    """Share of the lesion that is dark brown: brown of L* 28 to 46, after the skin was brought to one colour."""
    return one.kinds["dark_brown"]


def blue_gray_share(one: FramedLesion) -> float:
    """Share of the lesion that is blue-gray: of b* below 6, a* below 14 and L* below 66, after the skin was brought to one colour."""
    return one.kinds["blue_gray"]


def black_share(one: FramedLesion) -> float:
    """Share of the lesion that is black: of L* below 28, after the skin was brought to one colour."""
    return one.kinds["black"]


def colour_count(one: FramedLesion) -> float:
    """Count of the six dermoscopic colours that make up a twentieth of the lesion or more."""
    return float(sum(share >= PRESENT for share in one.kinds.values()))


def blue_white_veil_share(one: FramedLesion) -> float:
    """Share of the lesion, off its edge, in blue-gray patches of a five-hundredth of it or more."""
    if one.core.sum() < LEAST:
        return float("nan")
    light, a, b = np.moveaxis(one.adapted, 2, 0)
    veil = opening(one.core & (b < 6) & (a < 14) & (light >= 28) & (light < 66), disk(1))
    patches = remove_small_objects(veil, max_size=int(one.core.sum()) // 500)
    return float(patches.sum() / one.core.sum())


def regression_share(one: FramedLesion) -> float:
    """Share of the lesion, off its edge, that is white or pale gray: L* from 55, chroma below 14, in patches."""
    if one.core.sum() < LEAST:
        return float("nan")
    light, a, b = np.moveaxis(one.adapted, 2, 0)
    pale = opening(one.core & (light >= 55) & (np.hypot(a, b) < 14), disk(2))
    return float(pale.sum() / one.core.sum())


def dot_density(one: FramedLesion) -> float:
    """Count of dark round spots in the lesion, per area of a disc of a tenth of its diameter."""
    return float(len(one.spots) / max(one.core.sum(), 1) * np.pi * (DIAMETER / 20) ** 2)


def dot_contrast(one: FramedLesion) -> float:
    """Mean black top-hat of L* (radius 5 pixels of the frame) in the lesion."""
    if one.core.sum() < LEAST:
        return float("nan")
    return float(black_tophat(gaussian(one.lightness, 1.0), disk(5))[one.core].mean())


def network_texture(one: FramedLesion) -> float:
    """Root mean square of L* between Gaussian blurs of 1 and 3 pixels of the frame: meshes and their lines."""
    return _detail(one, 1.0, 3.0)


def network_deviation(one: FramedLesion) -> float:
    """Coefficient of variation of that detail over the lesion, blurred by 8 pixels: high where a net is uneven."""
    if one.core.sum() < LEAST:
        return float("nan")
    detail = np.abs(one.blurred_inside(1.0) - one.blurred_inside(3.0))
    weight = gaussian(one.core.astype(float), 8.0)
    local = (gaussian(detail * one.core, 8.0) / np.maximum(weight, 1e-6))[one.core]
    return float(local.std() / max(local.mean(), 1e-9))


def coarse_texture(one: FramedLesion) -> float:
    """Root mean square of L* between Gaussian blurs of 3 and 9 pixels of the frame: globules and blotches."""
    return _detail(one, 3.0, 9.0)


def streak_texture(one: FramedLesion) -> float:
    """Root mean square of L* between blurs of 0.7 and 4 pixels of the frame, in the outer quarter of the radius."""
    rim = one.core & (one.depth < 0.25)
    if rim.sum() < LEAST:
        return float("nan")
    return float(np.sqrt(((one.blurred_inside(0.7) - one.blurred_inside(4.0))[rim] ** 2).mean()))


def rim_to_core_lightness(one: FramedLesion) -> float:
    """Mean L* of the outer quarter of the radius less that of the middle half."""
    rim, core = one.seen & (one.depth < 0.25), one.seen & (one.depth > 0.5)
    if min(rim.sum(), core.sum()) < LEAST:
        return float("nan")
    return float(one.lab[rim][:, 0].mean() - one.lab[core][:, 0].mean())


def _detail(one: FramedLesion, fine: float, coarse: float) -> float:
    if one.core.sum() < LEAST:
        return float("nan")
    detail = one.blurred_inside(fine) - one.blurred_inside(coarse)
    return float(np.sqrt((detail[one.core] ** 2).mean()))


_UNITS: dict[str, tuple[Callable[[FramedLesion], float], ...]] = {
    "1": (
        area_share,
        diameter_share,
        cut_share,
        asymmetry_long_axis,
        asymmetry_short_axis,
        compactness,
        solidity,
        eccentricity,
        border_deviation,
        border_dimension,
        border_sharpness_deviation,
        white_share,
        red_share,
        light_brown_share,
        dark_brown_share,
        blue_gray_share,
        black_share,
        blue_white_veil_share,
        regression_share,
        dot_density,
        network_deviation,
    ),
    "{counts}": (colour_count,),
    "{CIELAB}": (colour_asymmetry_long_axis, colour_asymmetry_short_axis, contrast, hue_deviation),
    "{L*}": (
        border_sharpness,
        lightness,
        darkest,
        lightness_deviation,
        dot_contrast,
        network_texture,
        coarse_texture,
        streak_texture,
        rim_to_core_lightness,
    ),
    "{a*}": (red_green,),
    "{b*}": (yellow_blue,),
}
MEASUREMENTS = tuple(Measurement(unit, take) for unit, takers in _UNITS.items() for take in takers)
NAMES = tuple(one.name for one in MEASUREMENTS)


def measure(image: Array, parameters: LesionParameters | None = None) -> Reading:
    """Measure the lesion nearest to the centre of a dermoscopic image (H, W, 3) in [0, 1].

    Raises:
        OslerError: `input-range` where the image is grey or outside [0, 1].
    """
    return measured(segment(image, parameters))


def measured(found: Lesion | NoLesion) -> Reading:
    """Measure what was found."""
    if isinstance(found, NoLesion):
        return Reading.nothing(MEASUREMENTS, found.reason)
    framed = FramedLesion.of(found)
    if framed.seen.sum() < LEAST:
        return Reading.nothing(MEASUREMENTS, "hair covers the lesion")
    return Reading(np.array([one.take(framed) for one in MEASUREMENTS]), MEASUREMENTS)


RULE_SET = RuleSet(
    name="lesion of a dermoscopic image",
    version=VERSION,
    measurements=MEASUREMENTS,
    parameters=LesionParameters,
    measure=measure,
    golden=golden_lesion,
    channels="colour",
)
