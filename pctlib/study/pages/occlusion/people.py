"""Whom the occlusion protocol shows: new procedural people, or photographs with pasted occluders."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from pctlib.data.images import read_image
from pctlib.data.occlusion.levels import KINDS, View, procedural_views
from pctlib.data.occlusion.pasted import Donor, pasted_views
from pctlib.data.people import People
from pctlib.profiles.profile import Profile
from pctlib.skeletons import COCO
from pctlib.study.people import Splits

_FEWEST_SEEN = 8  # joints of a person in a photograph, so that levels differ
_SMALLEST_SIDE = 64  # pixels of the person's box in a photograph
_DONORS = 6  # drawn for each person

# The pictures of a few people are kept, since galleries show again what was measured.
_rendered = lru_cache(maxsize=128)(procedural_views)


class ProceduralSource:
    """Procedural people that no network was trained or validated on, rendered anew at each level.

    Args:
        profile: its occlusion section, and the size of the pictures.
    """

    name = "procedural people"
    skeleton = COCO

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def __len__(self) -> int:
        return self.profile.occlusion.people

    def views(self, index: int, kind: str) -> list[View]:
        """Return one person at each level."""
        section = self.profile.occlusion
        size = self.profile.people.image_size
        return _rendered(section.seed, index, kind, shares=section.shares, image_size=size)


class PastedSource:
    """The first validation people of a data set of photographs, with occluders pasted in front.

    People count whose box is large enough and of whom enough joints are seen; the others of them, from other
    pictures, are the donors that stand in front.

    Args:
        people: of the validation split.
        profile: its occlusion section.
        name: of the data set.

    Raises:
        ValueError: if the set has no images, or too few people count.
    """

    def __init__(self, people: People, profile: Profile, *, name: str) -> None:
        large = people.boxes_xywh[:, 2:].max(axis=1) >= _SMALLEST_SIDE
        enough = (people.visible == 2).sum(axis=1) >= _FEWEST_SEEN
        with_image = np.array([file != Path() for file in people.image_files])
        self.donors = people.select(large & enough & with_image)
        if len(set(self.donors.image_ids.tolist())) < 2:
            raise ValueError(
                f"{people.source or name}: occlusion needs people in at least two images with {_FEWEST_SEEN} "
                f"seen joints and a box of {_SMALLEST_SIDE} pixels, got {len(self.donors)} people"
            )
        self.section, self.name, self.skeleton = profile.occlusion, name, people.skeleton
        self.people = self.donors.select(range(min(len(self.donors), self.section.people)))

    def __len__(self) -> int:
        return len(self.people)

    def views(self, index: int, kind: str) -> list[View]:
        """Return one person at each level."""
        rng = np.random.default_rng([self.section.seed, index, list(KINDS).index(kind)])
        others = np.flatnonzero(self.donors.image_ids != self.people.image_ids[index])
        chosen = rng.choice(others, size=min(_DONORS, len(others)), replace=False)
        donors = [self._donor(row) for row in chosen] if kind == "person" else []
        base = _view_at_rest(self.people, index)
        return pasted_views(base, kind, rng=rng, shares=self.section.shares, donors=donors)

    def _donor(self, row: int) -> Donor:
        view = _view_at_rest(self.donors, row)
        labelled = self.donors.labelled[row]
        return Donor(view.image, view.keypoints_image, labelled, view.box_xywh, self.skeleton)


Source = ProceduralSource | PastedSource


def occlusion_source(splits: Splits, profile: Profile, *, dataset: str) -> Source:
    """Return the people of the protocol: new procedural ones, or the validation people of a data set.

    Raises:
        ValueError: if the profile has no section `occlusion`, or as `PastedSource`.
    """
    if profile.occlusion is None:
        raise ValueError(f"profile {profile.name}: expected a section 'occlusion', there is none")
    if dataset == "procedural":
        return ProceduralSource(profile)
    return PastedSource(splits.val, profile, name=splits.name)


def _view_at_rest(people: People, row: int) -> View:
    image, _ = read_image(people.image_files[row])
    return View(image, people.keypoints_image[row], people.visible[row], people.boxes_xywh[row])
