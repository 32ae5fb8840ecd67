"""Skin, hair and clothes: drawn as numbers, turned into thickness here and into colours in `shading`."""

from dataclasses import dataclass

import numpy as np

from pctlib.data.procedural.lofts import smoothstep
from pctlib.data.procedural.surface import ARM, HEAD, LEG, TORSO, Surface

Array = np.ndarray
PLAIN, STRIPES, UPRIGHT_STRIPES, CHECKS, BLOCKS, PRINT = range(6)  # patterns of cloth

# linear-light albedo of skin from light to dark and of hair
_SKIN = np.array(
    [(0.78, 0.55, 0.44), (0.70, 0.46, 0.34), (0.58, 0.36, 0.24), (0.42, 0.25, 0.16), (0.24, 0.13, 0.08)]
)
_HAIR = np.array(
    [(0.03, 0.025, 0.02), (0.09, 0.05, 0.03), (0.22, 0.12, 0.06), (0.52, 0.36, 0.16), (0.45, 0.44, 0.43)]
)


@dataclass(frozen=True)
class Outfit:
    """What a person wears. Colours are RGB albedo in 0..1; places are metres on the embedded body in T pose.

    skin, hair, shirt, shirt_second, trousers, trousers_second, shoes: colours [3].
    shirt_pattern, trousers_pattern: PLAIN, STRIPES, ...; pattern_scale: metres of one repeat.
    sleeve_end: x, shirt_end: y, trousers_end: y, shoe_top: y where the cloth ends; neckline: y.
    hair_end: how far down the back of the head hair goes (metres below the ears); hair_volume: metres, 0 is
        bald.
    shirt_thickness, trousers_thickness: metres of loose cloth; beard, glasses, cap: whether there is one.
    """

    skin: Array
    hair: Array
    shirt: Array
    shirt_second: Array
    trousers: Array
    trousers_second: Array
    shoes: Array
    shirt_pattern: int
    trousers_pattern: int
    pattern_scale: float
    sleeve_end: float
    shirt_end: float
    trousers_end: float
    shoe_top: float
    neckline: float
    hair_end: float
    hair_volume: float
    shirt_thickness: float
    trousers_thickness: float
    beard: bool
    glasses: bool
    cap: bool

    def as_row(self) -> Array:
        """Return all numbers in one float32 row, in the order of the fields."""
        return np.concatenate([np.ravel(value) for value in self.__dict__.values()]).astype(np.float32)


def draw_outfit(rng: np.random.Generator) -> Outfit:
    """Draw an outfit."""
    dress = rng.random() < 0.15
    shirt, shirt_second, trousers, trousers_second, shoes = (_cloth_color(rng) for _ in range(5))
    if rng.random() < 0.45:  # jeans, grey and black are common
        trousers = np.array(
            [(0.05, 0.08, 0.20), (0.12, 0.12, 0.13), (0.02, 0.02, 0.025), (0.38, 0.32, 0.22)]
        )[rng.integers(4)]
    at = rng.uniform(0, len(_SKIN) - 1)
    skin = _SKIN[int(at)] + (at - int(at)) * (_SKIN[min(int(at) + 1, 4)] - _SKIN[int(at)])
    long_hair = rng.random() < 0.4
    return Outfit(
        skin=skin * rng.uniform(0.9, 1.1),
        hair=_HAIR[rng.choice(5, p=(0.32, 0.26, 0.2, 0.14, 0.08))] * rng.uniform(0.7, 1.3),
        shirt=shirt,
        shirt_second=shirt_second,
        trousers=shirt if dress else trousers,
        trousers_second=shirt_second if dress else trousers_second,
        shoes=skin if rng.random() < 0.12 else shoes,
        shirt_pattern=int(rng.choice(6, p=(0.45, 0.15, 0.08, 0.1, 0.1, 0.12))),
        trousers_pattern=int(rng.choice(6, p=(0.78, 0.04, 0.08, 0.06, 0.02, 0.02))),
        pattern_scale=float(rng.uniform(0.035, 0.12)),
        sleeve_end=float(
            rng.choice(
                (rng.uniform(0.15, 0.2), rng.uniform(0.28, 0.42), rng.uniform(0.6, 0.7)), p=(0.12, 0.45, 0.43)
            )
        ),
        shirt_end=float(rng.uniform(0.86, 0.99)),
        trousers_end=float(
            rng.choice(
                (rng.uniform(0.52, 0.7), rng.uniform(0.3, 0.48), rng.uniform(0.05, 0.12)),
                p=(0.25, 0.12, 0.63),
            )
        ),
        shoe_top=float(rng.choice((0.07, 0.11, 0.3), p=(0.6, 0.3, 0.1))),
        neckline=float(rng.uniform(1.43, 1.5)),
        hair_end=float(rng.uniform(0.12, 0.3) if long_hair else rng.uniform(0.0, 0.05)),
        hair_volume=0.0 if rng.random() < 0.08 else float(rng.uniform(0.006, 0.022)),
        shirt_thickness=float(rng.choice((0.003, rng.uniform(0.006, 0.02)))),
        trousers_thickness=float(rng.choice((0.003, rng.uniform(0.006, 0.022)))),
        beard=bool(not long_hair and rng.random() < 0.25),
        glasses=bool(rng.random() < 0.15),
        cap=bool(rng.random() < 0.12),
    )


def displacement(outfit: Outfit, surface: Surface) -> Array:
    """Return how far clothes and hair lift the surface in T pose: [V, 3] metres, float32."""
    x, y, z = surface.places.T
    x = np.abs(x)
    region = surface.vertex_regions
    hem = smoothstep((y - outfit.shirt_end) / 0.01)
    sleeve = smoothstep((outfit.sleeve_end - x) / 0.01)
    neck = smoothstep((outfit.neckline + 0.01 - y) / 0.02)
    shirt = outfit.shirt_thickness * (np.isin(region, (TORSO, ARM)) * hem * sleeve * neck)
    leg = (region == LEG) * smoothstep((y - outfit.trousers_end) / 0.01)
    trousers = outfit.trousers_thickness * leg * smoothstep((0.93 - y) / 0.1)
    scalp = (region == HEAD) * smoothstep((y - hairline(z)) / 0.03)
    tail = smoothstep((-0.03 - z) / 0.03) * smoothstep((y - (1.58 - outfit.hair_end)) / 0.05) * (y < 1.60)
    tail = np.where(np.isin(region, (HEAD, TORSO)), tail, 0) * (outfit.hair_end > 0.1)
    hair = outfit.hair_volume * np.maximum(scalp, 1.6 * tail)
    return (surface.normals * (shirt + trousers + hair)[:, None]).astype(np.float32)


def hairline(z: Array) -> Array:
    """Return the height of the hairline at depth z of the head, both metres on the embedded body."""
    return 1.612 + 0.70 * z


def _cloth_color(rng: np.random.Generator) -> Array:
    """Return a colour [3]: any hue, from grey to saturated, from dark to light."""
    hue, saturation, value = rng.random(), rng.beta(1.6, 1.6), rng.uniform(0.12, 0.95)
    offset = (hue * 6 + np.array([0.0, 4.0, 2.0])) % 6
    pure = np.clip(np.abs(offset - 3) - 1, 0, 1)
    return (value * (1 - saturation * (1 - pure))) ** 1.6
