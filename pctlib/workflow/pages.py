"""The pages of the study, one record each: order, navigation, staleness and jobs derive from it.

A page is its record here, the folder `pctlib/study/pages/<name>/`, its notebook, and the section of that name
in the profile.
"""

import importlib
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pctlib.profiles.profile import Profile

FAILED = "failed"  # in the metrics of a variant whose training failed: why it did
SHARED = ("people", "crop", "skip_broken")  # sections of the profile that every page reads


@dataclass(frozen=True)
class Page:
    """One page of the report, and the notebook that makes it.

    Attributes:
        name: of its folder of code, of its folder below `reports/<study>/`, and of its section of the
            profile; where the profile may lack the section and does, there is no such page.
        notebook: file in `notebooks/`, without ending.
        title: in the navigation.
        question: what it asks, in a sentence.
        figure: anchor of the figure that shows the answer best; "" where a table does.
        reads: sections of the profile that it reads besides its own and `SHARED`.
        needs: pages whose trained model of the same seed it reads.
        guided: the same, where the profile's tokenizer looks at images.
        after: pages whose results it reads where the profile has them.
        trains: "module:name" of what trains here: a function, where a page has one run for each seed; else
            classes of variants, `pctlib.study.variants.Study`, which `trainings.py` in its folder lists.
        seeds: a page for each seed, one for all of them, one for the first, or one without any.
        early: "module:name" of the function that writes the index before other pages are made; the results
            have one.
        threads: of its jobs; "half" of the cores for what is trained side by side with another.
    """

    name: str
    notebook: str
    title: str
    question: str
    figure: str = ""
    reads: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    guided: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    trains: tuple[str, ...] = ()
    early: str = ""
    seeds: Literal["each", "all", "first", "none"] = "all"
    threads: int | Literal["half"] = 1

    def within(self, profile: Profile) -> bool:
        """Whether a profile has this page."""
        return getattr(profile, self.name, self) is not None

    def trainings(self, profile: Profile) -> list["Training"]:
        """Return what the page trains for every seed, in order; none where each seed has its own page."""
        if self.seeds == "each" or not self.trains:
            return []
        module = importlib.import_module(f"pctlib.study.pages.{self.name}.trainings")
        found: list[Training] = module.trainings(profile)
        folders = [training.folder.casefold() for training in found]
        if twice := [t.name for t in found if folders.count(t.folder.casefold()) > 1]:
            raise ValueError(f"page {self.name}: these variants would share a folder: {', '.join(twice)}")
        return found


class Training(NamedTuple):
    """One thing that a page trains for every seed.

    Attributes:
        name: as tables have it.
        after: others of the page, of the same seed, that must be trained before it.
        group: folder, where a page trains several kinds of things.
    """

    name: str
    after: tuple["Training", ...] = ()
    group: str = ""

    @property
    def folder(self) -> str:
        """Its name among jobs: group and name as a folder may have them."""
        return "-".join(filter(None, (self.group, slug(self.name))))


def slug(name: str) -> str:
    """Return a name as a folder may have it: small letters, digits, _ and -, the rest as one -."""
    return re.sub(r"[^\w]+", "-", name.lower()).strip("-")


_PCT = ("tokenizer", "heatmap", "classifier")
_PAGES = "pctlib.study.pages"

PAGES = (
    Page(
        "data",
        "00_data",
        "Data",
        "Who are the people that everything is trained and measured on, and what is hidden of them?",
        figure="figure-1",
        seeds="none",
    ),
    Page(
        "tokenizer",
        "01_tokenizer",
        "Tokenizer",
        "How well can a pose be written as a few words of a learned codebook, and read back?",
        figure="figure-3",
        guided=("heatmap",),
        trains=(f"{_PAGES}.tokenizer.train:train_page",),
        seeds="each",
    ),
    Page(
        "heatmap",
        "02_heatmap",
        "Heatmap backbone",
        "What does the network that finds joints by heatmaps reach, whose backbone the others use?",
        figure="figure-3",
        trains=(f"{_PAGES}.heatmap.train:train_page",),
        seeds="each",
        threads="half",
    ),
    Page(
        "classifier",
        "03_classifier",
        "Token classifier",
        "Does a network that names the tokens of a pose find hidden joints better than one of heatmaps?",
        figure="figure-4",
        reads=("tokenizer", "heatmap"),
        needs=("tokenizer", "heatmap"),
        trains=(f"{_PAGES}.classifier.train:train_page",),
        seeds="each",
        threads="half",
    ),
    Page(
        "grid",
        "04_grid",
        "Codebook size and tokens",
        "How many tokens does a pose need, and how many entries the codebook?",
        figure="figure-1",
        reads=_PCT,
        needs=("heatmap",),
        trains=(f"{_PAGES}.grid.study:GridTokenizers", f"{_PAGES}.grid.study:RowClassifiers"),
    ),
    Page(
        "choices",
        "05_choices",
        "Other choices",
        "Which of PCT's other choices carry it?",
        figure="figure-1",
        reads=_PCT,
        needs=("tokenizer", "heatmap"),
        trains=(f"{_PAGES}.choices.study:TokenizerChoices", f"{_PAGES}.choices.study:ClassifierChoices"),
    ),
    Page(
        "anatomy",
        "06_anatomy",
        "Token anatomy",
        "What does a single token say about the body?",
        figure="figure-3",
        reads=("tokenizer",),
        needs=("tokenizer",),
        guided=("heatmap",),
        seeds="first",
    ),
    Page(
        "comparison",
        "07_comparison",
        "Representations compared",
        "Which representation of a pose is best where backbone, people and epochs are equal?",
        figure="figure-1",
        reads=_PCT,
        needs=("tokenizer", "heatmap"),
        trains=(f"{_PAGES}.comparison.study:Comparison",),
    ),
    Page(
        "distillation",
        "08_distillation",
        "Distillation",
        "What does a small whole-body network learn from a large one, and then from itself?",
        figure="figure-2",
        trains=(f"{_PAGES}.distillation.study:DistillationStudy",),
    ),
    Page(
        "masked",
        "09_masked",
        "Masked pretraining",
        "Does it pay to learn to fill in hidden patches before learning poses?",
        figure="figure-2",
        trains=(f"{_PAGES}.masked.study:MaskedStudy",),
    ),
    Page(
        "joint",
        "10_joint",
        "Several data sets",
        "Does one backbone for several data sets serve each as well as one of its own?",
        figure="figure-2",
        trains=(f"{_PAGES}.joint.study:JointStudy",),
    ),
    Page(
        "knowledge_token",
        "11_knowledge_token",
        "Knowledge token",
        "Can a single learned token carry what a teacher knows to its student?",
        figure="figure-1",
        trains=(f"{_PAGES}.knowledge_token.study:KnowledgeTokenStudy",),
    ),
    Page(
        "flexibility",
        "12_flexibility",
        "Flexibility",
        "How much do resolution, attention in windows, a simple decoder and frozen parts cost a ViTPose?",
        figure="figure-2",
        reads=("masked",),
        after=("masked",),
        trains=(f"{_PAGES}.flexibility.study:FlexibilityStudy",),
    ),
    Page(
        "occlusion",
        "13_occlusion",
        "Occlusion",
        "Which methods lose least when ever more of the body is hidden, and by what?",
        figure="figure-3",
        reads=("comparison",),
        needs=("heatmap", "classifier"),
        after=("comparison",),
    ),
    Page(
        "pose3d",
        "14_pose3d",
        "Poses in 3D",
        "What changes when tokens write poses in millimetres instead of pixels?",
        figure="figure-4",
        reads=_PCT,
        needs=("heatmap",),
        trains=(f"{_PAGES}.pose3d.tokenizers:Tokenizers3D", f"{_PAGES}.pose3d.methods:Methods3D"),
    ),
    Page(
        "mesh",
        "15_mesh",
        "Whole-body meshes",
        "Can one network find the surface of the whole body, with hands and face, in one pass?",
        figure="figure-2",
        trains=(f"{_PAGES}.mesh.study:MeshStudy",),
    ),
    Page(
        "official",
        "16_official",
        "Official weights, measured",
        "Do the published weights reach here what their papers say?",
        seeds="none",
    ),
    Page(
        "finetune",
        "17_finetune",
        "Fine-tuning",
        "How many pictures of one's own does it take to teach a trained network new people?",
        figure="figure-1",
        trains=(f"{_PAGES}.finetune.study:FinetuneStudy",),
    ),
    Page(
        "results",
        "90_results",
        "Results",
        "Which representation keeps hidden joints?",
        figure="figure-1",
        reads=tuple(Profile.model_fields),
        needs=_PCT,
        after=("*",),
        early=f"{_PAGES}.results.early:write_index_so_far",
    ),
)
"""Every page, in the order of the report. Results come last and read all others ("*")."""


def page_named(name: str) -> Page:
    """Return a page.

    Raises:
        ValueError: if there is none of that name.
    """
    found = next((page for page in PAGES if page.name == name), None)
    if found is None:
        raise ValueError(f"page: expected one of {', '.join(p.name for p in PAGES)}, got '{name}'")
    return found
