"""Where a page comes from: notebook, command that makes it again, revision, and how to cite it."""

from dataclasses import dataclass

from pctlib import __version__

PAPER = """@inproceedings{geng2023pct,
  title = {Human Pose as Compositional Tokens},
  author = {Geng, Zigang and Wang, Chunyu and Wei, Yixuan and Liu, Ze and Li, Houqiang and Hu, Han},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2023},
  eprint = {2303.11638},
}"""


@dataclass(frozen=True)
class Provenance:
    """Where a page comes from.

    Attributes:
        notebook: that made it, as a path in the project.
        command: that makes it again.
        revision: of the code; "" where it is not known.
        made: date and time.
    """

    notebook: str
    command: str
    revision: str = ""
    made: str = ""

    @property
    def bibtex(self) -> str:
        """The project, with the revision of this page, and the paper that it studies."""
        note = f"  note = {{revision {self.revision}}},\n" if self.revision else ""
        return (
            "@software{pctlib,\n"
            "  title = {pctlib: a reproducible study of human pose representations},\n"
            "  author = {{The pctlib contributors}},\n"
            f"  version = {{{__version__}}},\n{note}}}\n\n{PAPER}"
        )
