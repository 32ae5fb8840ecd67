"""The protocol on one person, with shares of one's own."""

from collections.abc import Sequence
from dataclasses import dataclass

from pctlib.data.occlusion.levels import View
from pctlib.profiles.profile import Profile
from pctlib.skeletons import Skeleton
from pctlib.study.page import OpenPage
from pctlib.study.pages.occlusion.people import Source, occlusion_source


@dataclass(frozen=True)
class OnePerson:
    """One of the people of a source, as a source.

    Attributes:
        source: of several people.
        person: which of them.
    """

    source: Source
    person: int

    def __len__(self) -> int:
        return 1

    @property
    def skeleton(self) -> Skeleton:
        """The keypoint set."""
        return self.source.skeleton

    def views(self, index: int, kind: str) -> list[View]:
        """Return the person at each level; `index` is 0."""
        return self.source.views(self.person + index, kind)


def one_person(
    page: OpenPage, person: int, *, kind: str, shares: Sequence[float]
) -> tuple[OnePerson, Profile]:
    """Return one person of a page's protocol, and the settings that hide other shares of the joints.

    Args:
        page: of the protocol.
        person: which, from 0.
        kind: object, person or truncation.
        shares: of the joints seen at level 0 that each level hides; rise from 0 and stay below 1.

    Raises:
        ValueError: as `occlusion_source`.
    """
    section = page.settings.occlusion.model_copy(update={"kinds": (kind,), "shares": tuple(shares)})
    own = page.settings.model_copy(update={"occlusion": section})
    return OnePerson(occlusion_source(page.splits, own, dataset=page.layout.dataset), person), own
