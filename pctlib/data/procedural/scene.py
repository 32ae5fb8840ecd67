"""A picture of procedural people: who is there, seen from where, hidden by what; and the truth about it.

Long, as one random stream is drawn here in a fixed order: a change of it is a change of every picture.
"""

from dataclasses import dataclass

import numba
import numpy as np
import torch

from pctlib.body_model import BodyModel
from pctlib.data.procedural.annotate import PersonAnnotation, annotate
from pctlib.data.procedural.background import draw_place, render_place
from pctlib.data.procedural.body import embedded_body
from pctlib.data.procedural.camera import Camera, draw_camera
from pctlib.data.procedural.mesh import SUPERSAMPLE, Mesh, box_mesh, person_mesh, silhouette
from pctlib.data.procedural.occluders import Occlusion, draw_object, person_offset
from pctlib.data.procedural.people import Person, draw_person
from pctlib.data.procedural.rasterizer import merge, owners_of, rasterize
from pctlib.data.procedural.shading import ROW_LENGTH, shade
from pctlib.data.procedural.surface import Surface

Array = np.ndarray
_STREAMS = ("person", "camera", "occlusion", "others", "front", "object", "place", "things", "sensor")
_IN_FRONT = ("standing", "walking", "waving", "reaching", "boxing", "dancing", "throwing")  # tall enough
_MIN_AREA = 0.008  # share of the picture that someone else must cover to be annotated
_Streams = dict[str, np.random.Generator]
_surfaces: dict[int, tuple[BodyModel, Surface]] = {}


@dataclass(frozen=True)
class Sample:
    """A picture and the truth about it.

    Args:
        image: [H, W, 3] uint8, RGB.
        people: the annotated people, the main person first.
        camera: who sees them.
        occlusion: what was asked for, "mixed" decided.
    """

    image: Array
    people: list[PersonAnnotation]
    camera: Camera
    occlusion: Occlusion


@dataclass
class _Scene:
    """Everything to be drawn: people with their meshes, things, and the camera."""

    camera: Camera
    people: list[Person]
    things: list[Mesh]


def render_person(
    seed: int,
    index: int,
    *,
    occlusion: Occlusion | None = None,
    image_size: int = 256,
    body: BodyModel | None = None,
    crowd: float = 0.4,
    activity: str | None = None,
) -> Sample:
    """Render picture `index` of the endless data set `seed`.

    The main person, the camera and the place depend on seed and index only, so the same person can be seen at
    several levels of occlusion.

    Args:
        seed: which data set.
        index: which picture of it.
        occlusion: how the main person is hidden; `Occlusion()` if None.
        image_size: height and width, pixels.
        body: a body model with flat hands; the embedded one if None.
        crowd: probability that other people stand behind the main person.
        activity: of the main person; drawn if None.

    Raises:
        ValueError: if an argument is out of range.
    """
    if seed < 0 or index < 0 or image_size < 32 or not 0 <= crowd <= 1:
        raise ValueError(
            "expected seed, index >= 0, image_size >= 32 and crowd in 0..1, "
            f"got {seed}, {index}, {image_size}, {crowd}"
        )
    body = body or embedded_body()
    surface = _surface_of(body)
    rng = {name: np.random.default_rng([seed, index, number]) for number, name in enumerate(_STREAMS)}
    occlusion = (occlusion or Occlusion()).resolve(rng["occlusion"])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same order of additions, so the same bytes, in every process
    try:
        scene = _draw_scene(rng, body, surface, occlusion, image_size, crowd, activity)
    finally:
        torch.set_num_threads(threads)
    return _render(rng, scene, surface, occlusion)


def _surface_of(body: BodyModel) -> Surface:
    """Return the surface of a body model, found once."""
    if id(body) not in _surfaces:
        _surfaces[id(body)] = (body, Surface.of(body))
    return _surfaces[id(body)][1]


def _draw_scene(
    rng: _Streams,
    body: BodyModel,
    surface: Surface,
    occlusion: Occlusion,
    image_size: int,
    crowd: float,
    activity: str | None,
) -> _Scene:
    """Draw who and what is there."""
    main = draw_person(rng["person"], body, surface, activity=activity)
    camera = draw_camera(rng["camera"], main.vertices, image_size=(image_size, image_size))
    people = [main]
    if rng["others"].random() < crowd:
        for _ in range(rng["others"].integers(1, 3)):
            people.append(_behind(rng["others"], draw_person(rng["others"], body, surface), main, camera))
    if occlusion.kind == "truncation":
        camera = _cut(rng["occlusion"], person_mesh(main, camera, surface), camera, level=occlusion.level)
    if occlusion.kind == "person" and occlusion.level > 0:
        front = draw_person(rng["front"], body, surface, activity=str(rng["front"].choice(_IN_FRONT)))
        people.append(_in_front(rng["front"], front, main, camera, surface, level=occlusion.level))
    return _Scene(camera, people, _things(rng["things"], people, camera))


def _behind(rng: np.random.Generator, other: Person, main: Person, camera: Camera) -> Person:
    """Return `other` somewhere behind the main person, within the picture."""
    gap, place = np.exp(rng.uniform(np.log(0.7), np.log(5.0))), rng.uniform(0.05, 0.95)
    away = main.joints[0] - camera.position
    away[1] = 0
    distance = np.linalg.norm(away)
    right = np.cross(away / distance, (0.0, 1.0, 0.0))
    depth = distance + gap
    x = (place * camera.image_size[1] - camera.principal_point[0]) * depth / camera.focal
    target = camera.position + away / distance * depth + x * right
    return other.moved(np.array([target[0], 0, target[2]]))


def _in_front(
    rng: np.random.Generator, front: Person, main: Person, camera: Camera, surface: Surface, *, level: float
) -> Person:
    """Return `front` between the camera and the main person, as far in as hides the share `level`.

    Someone who cannot hide so much from half a metre to a metre away comes nearer to the camera.
    """
    gap, side = rng.uniform(0.5, 1.0), int(rng.choice((-1, 1)))
    away = main.joints[0] - camera.position
    away[1] = 0
    right = camera.rotation[0] * (1, 0, 1)
    right /= np.linalg.norm(right)
    W = camera.image_size[1]
    # a field of three pictures' width, in cells of 1/64 picture
    field = {"origin": (-float(W), -float(W)), "size": (192, 192), "scale": 64 / W}
    body = silhouette(person_mesh(main, camera, surface), **field)
    tried: list[tuple[float, Person]] = []
    for nearer in (1.0, 0.8, 0.62):
        target = camera.position + away * max(nearer - gap / np.linalg.norm(away), 0.4)
        placed = front.moved(np.array([target[0], 0, target[2]]))
        mesh = person_mesh(placed, camera, surface)
        cells, share = person_offset(silhouette(mesh, **field), body, level=level, side=side)
        aside = right * (cells * W / 64 * np.median(mesh.pixels[:, 2]) / camera.focal)
        tried.append((share, placed.moved(aside)))
        if share >= level:
            return tried[-1][1]
    return max(tried, key=lambda pair: pair[0])[1]


def _cut(rng: np.random.Generator, mesh: Mesh, camera: Camera, *, level: float) -> Camera:
    """Return the camera moved so that the share `level` of the body is outside the frame, on one side."""
    H, W = camera.image_size
    y, x = np.nonzero(silhouette(mesh, origin=(0.0, 0.0), size=(H, W), scale=1.0))
    direction = rng.choice(4, p=(0.55, 0.15, 0.15, 0.15))  # the legs are cut most often
    along, edge = ((y, H - 0.5), (y, -0.5), (x, W - 0.5), (x, -0.5))[direction]
    at = np.quantile(along, 1 - level if direction in (0, 2) else level)
    return camera.shifted(np.array([0.0, edge - at] if direction < 2 else [edge - at, 0.0]))


def _things(rng: np.random.Generator, people: list[Person], camera: Camera) -> list[Mesh]:
    """Return seats under those who sit and boxes behind the main person."""
    things = []
    for person in people:
        row = _thing_row(rng)
        if person.seat_height > 0.05:
            size = np.array([rng.uniform(0.3, 0.42), person.seat_height, rng.uniform(0.26, 0.36)])
            things.append(box_mesh(person.joints[0, [0, 2]], size, rng.uniform(0, 3.1), camera, row))
    main = people[0].joints[0]
    away = (main - camera.position)[[0, 2]]
    away /= np.linalg.norm(away)
    for _ in range(rng.choice(4, p=(0.45, 0.25, 0.2, 0.1))):
        row, back, aside = _thing_row(rng), rng.uniform(1.3, 4.0), rng.normal(0, 1.3)
        size = np.array(
            [rng.uniform(0.25, 1.4), rng.choice((0.45, 0.75, 1.1, 1.9)) * rng.uniform(0.8, 1.2), 0.5]
        )
        place = main[[0, 2]] + back * away + aside * np.array([-away[1], away[0]])
        things.append(box_mesh(place, size, rng.uniform(0, 3.1), camera, row))
    return things


def _thing_row(rng: np.random.Generator) -> Array:
    row = np.zeros(ROW_LENGTH, np.float32)
    row[:3] = rng.uniform(0.05, 0.8) * (1 + rng.normal(0, 0.25, 3))
    row[3:6] = row[:3] * rng.uniform(0.3, 0.9)
    row[6:9] = rng.integers(4), rng.uniform(0.06, 0.3), rng.integers(1000)
    return np.clip(row, 0, 999)


def _render(rng: _Streams, scene: _Scene, surface: Surface, occlusion: Occlusion) -> Sample:
    """Draw a scene and read the truth off its buffers."""
    camera = scene.camera
    size = tuple(SUPERSAMPLE * n for n in camera.image_size)
    people = [person_mesh(person, camera, surface) for person in scene.people]
    depth, numbers = np.zeros(size, np.float32), np.full(size, -1, np.int32)
    extents, body, first = [], None, 0
    for mesh in people:
        own, own_numbers = np.zeros(size, np.float32), np.empty(size, np.int32)
        rasterize(mesh.points(), mesh.faces, first, own, own_numbers)
        extents.append(merge(own, own_numbers, depth, numbers))
        body = own if body is None else body  # the main person's
        first += len(mesh.faces)
    things = list(scene.things)
    if occlusion.kind == "object" and occlusion.level > 0:
        cells = np.argwhere(body > 0)[:, ::-1] / SUPERSAMPLE - 0.25
        near = 0.9 * float(people[0].pixels[:, 2].min())
        level, to_world = occlusion.level, camera.rotation.T
        things.append(draw_object(rng["object"], cells, level=level, depth=near, to_world=to_world))
    for mesh in things:
        rasterize(mesh.points(), mesh.faces, first, depth, numbers)
        first += len(mesh.faces)
    meshes = people + things
    owners = np.repeat(np.arange(len(meshes), dtype=np.int16), [len(mesh.faces) for mesh in meshes])
    owner_buffer, shown = owners_of(numbers, owners, len(meshes))
    image = _paint(rng, scene, meshes, numbers)
    return Sample(
        image, _truth(scene, people, surface, extents, shown, depth, owner_buffer), camera, occlusion
    )


def _paint(rng: _Streams, scene: _Scene, meshes: list[Mesh], numbers: Array) -> Array:
    """Return the picture [H, W, 3] uint8: place, shadows, people and things, then the sensor."""
    place = draw_place(rng["place"], scene.camera)
    picture = render_place(place, scene.camera, _shadow(scene, meshes[0].faces, place.light), numbers)
    vertices = [np.concatenate([mesh.points(), mesh.normals, mesh.places], 1) for mesh in meshes]
    faces, start = [], 0
    for owner, mesh in enumerate(meshes):
        table = np.empty((len(mesh.faces), 5), np.int32)
        table[:, :3], table[:, 3], table[:, 4] = mesh.faces + start, mesh.regions, owner
        faces.append(table)
        start += len(mesh.pixels)
    rows = np.stack([mesh.row for mesh in meshes])
    light = np.concatenate([place.light, -scene.camera.rotation[2]]).astype(np.float32)
    shade(numbers, np.concatenate(vertices), np.concatenate(faces), rows, light, picture)
    return _sensor(rng["sensor"], picture)


def _shadow(scene: _Scene, faces: Array, light: Array) -> Array:
    """Return how much of the light people take from the floor, [H / 2, W / 2] 0..1, with soft edges."""
    H, W = (n // 2 for n in scene.camera.image_size)
    shadow, numbers = np.zeros((H, W), np.float32), np.empty((H, W), np.int32)
    slope = light[[0, 2]] / max(light[1], 0.25)
    for person in scene.people:
        flat = person.vertices.copy()
        flat[:, [0, 2]] -= flat[:, 1:2] * slope
        flat[:, 1] = 0
        points = scene.camera.project(flat).astype(np.float32)
        points[:, :2] = points[:, :2] / 2 - 0.25
        points[:, 2] = np.where(points[:, 2] > 0.05, 1 / np.maximum(points[:, 2], 0.05), 0)
        rasterize(points, faces, 0, shadow, numbers)  # what faces the light covers the whole shadow
    return _blurred((shadow > 0).astype(np.float32), max(1, W // 64)) * light[3] / (light[3] + light[4])


@numba.njit(cache=True, error_model="numpy")
def _blurred(values, radius):
    """Return the mean over (2 radius + 1)^2 pixels, the border repeated."""
    H, W = values.shape
    rows, out = np.empty_like(values), np.empty_like(values)
    count = 2 * radius + 1
    for y in range(H):
        for x in range(W):
            total = np.float32(0)
            for k in range(-radius, radius + 1):
                total += values[y, min(max(x + k, 0), W - 1)]
            rows[y, x] = total / count
    for y in range(H):
        for x in range(W):
            total = np.float32(0)
            for k in range(-radius, radius + 1):
                total += rows[min(max(y + k, 0), H - 1), x]
            out[y, x] = total / count
    return out


def _sensor(rng: np.random.Generator, picture: Array) -> Array:
    """Return the picture as a camera stores it, [H, W, 3] uint8: exposure, blur, noise, gamma."""
    gain = np.exp(rng.normal(0.12, 0.2)) * (1 + rng.normal(0, 0.03, 3))
    blur, noise = max(0.0, rng.normal(0.05, 0.12)), np.abs(rng.normal(0, 0.012))
    return _develop(
        picture, gain.astype(np.float32), np.float32(blur), np.float32(noise), rng.integers(1 << 30)
    )


@numba.njit(cache=True, error_model="numpy")
def _develop(picture, gain, blur, noise, seed):
    H, W, _ = picture.shape
    out = np.empty((H, W, 3), np.uint8)
    state = np.uint64(seed * 2 + 1)
    for y in range(H):
        up, down = max(y - 1, 0), min(y + 1, H - 1)
        for x in range(W):
            left, right = max(x - 1, 0), min(x + 1, W - 1)
            for k in range(3):
                around = picture[up, x, k] + picture[down, x, k] + picture[y, left, k] + picture[y, right, k]
                value = (picture[y, x, k] * (1 - blur) + 0.25 * blur * around) * gain[k]
                value = value / (1 + 0.18 * value)  # highlights roll off
                state ^= state << np.uint64(13)
                state ^= state >> np.uint64(7)
                state ^= state << np.uint64(17)
                grain = np.float64(state & np.uint64(0xFFFF)) + np.float64(
                    (state >> np.uint64(16)) & np.uint64(0xFFFF)
                )
                shown = np.sqrt(max(value, 0.0)) + noise * 2.45 * (grain / 65535.0 - 1)
                out[y, x, k] = np.uint8(min(max(shown, 0.0), 1.0) * 255 + 0.5)
    return out


def _truth(
    scene: _Scene,
    meshes: list[Mesh],
    surface: Surface,
    extents: list[Array],
    shown: Array,
    depth: Array,
    owners: Array,
) -> list[PersonAnnotation]:
    """Return the annotations of the main person and of everyone else who is large and not all hidden."""
    H, W = scene.camera.image_size
    found = []
    for i, (person, extent) in enumerate(zip(scene.people, extents, strict=True)):
        area = float(extent[0]) / SUPERSAMPLE**2
        hidden = 1 - int(shown[i]) / max(int(extent[0]), 1)
        if i > 0 and (area < _MIN_AREA * H * W or hidden > 0.9):
            continue
        keypoints, visible, joints = annotate(
            person,
            scene.camera,
            head_top=person.vertices[surface.head_top],
            owner=i,
            depth_buffer=depth,
            owner_buffer=owners,
        )
        found.append(
            PersonAnnotation(
                keypoints_image=keypoints,
                visible=visible,
                box_xywh=_box(extent),
                area=area,
                joints_3d=joints,
                occlusion=hidden,
                truncation=_outside(meshes[i], area, scene.camera.image_size),
                activity=person.pose.activity,
                person=person,
            )
        )
    return found


def _box(extent: Array) -> Array:
    """Return the box (x, y, width, height) in pixels around what `merge` found."""
    cells, left, right, top, bottom = extent
    if not cells:
        return np.zeros(4, np.float32)
    size = (right + 1 - left, bottom + 1 - top)
    return np.array([left / 2 - 0.5, top / 2 - 0.5, size[0] / 2, size[1] / 2], np.float32)


def _outside(mesh: Mesh, area: float, image_size: tuple[int, int]) -> float:
    """Return the share of a person outside the frame; `area` is what is inside, in pixels."""
    low, high = mesh.pixels[:, :2].min(0), mesh.pixels[:, :2].max(0)
    H, W = image_size
    if low.min() >= -0.5 and high[0] <= W - 0.5 and high[1] <= H - 0.5:
        return 0.0
    scale = min(1.0, 256 / float((high - low).max()))
    size = tuple(int(n) for n in np.ceil((high - low)[::-1] * scale) + 1)
    whole = silhouette(mesh, origin=tuple(low), size=size, scale=scale).sum() / scale**2
    return float(np.clip(1 - area / max(whole, 1.0), 0, 1))
