"""What the choices of PCT change: two tables, their bars, and the finding in words."""

import pandas as pd

from pctlib.data.people import People
from pctlib.profiles.profile import Profile
from pctlib.reporting.columns import Column, column, shown
from pctlib.reporting.tables import interval_ends
from pctlib.study.findings import change_in_words, difference, difference_in_words, failures, interval_note
from pctlib.study.floor import with_floor
from pctlib.study.pages.choices.changes import AS_MANY_BITS, BASE, MLP, ONE, SCALARS, TWO_LEVELS, changes_of
from pctlib.study.pages.choices.study import BOTH, LOOKUPS
from pctlib.study.pages.choices.trainings import CODES
from pctlib.study.predictions import judge, mean_pose_predictions
from pctlib.study.variants import FAILED, bars_of, summarise

ALL_GIVEN, SOME_HIDDEN = "all joints given", "some joints hidden"
_ERRORS = {"error px": ALL_GIVEN, "error px, some hidden": SOME_HIDDEN}
_CLASSIFIERS = ("PCK@0.1 seen", "PCK@0.1 hidden", "NME seen", "NME hidden")


def tokenizer_columns(profile: Profile) -> dict[str, Column]:
    """Return metric -> column of the table of tokenizers."""
    share = f"{100 * profile.choices.evaluation_hidden:g} % of the joints hidden"
    error = column("error px")
    return {
        "error px": error,
        "AP": column("AP"),
        "error px, some hidden": error.named(f"error, {share}"),
        "error px of the hidden": error.named("of these alone"),
        **{metric: column(metric) for metric in ("codebook usage", "codebook perplexity", "bits", "weights")},
    }


def tokenizer_table(frame: pd.DataFrame, profile: Profile, *, num_keypoints: int) -> pd.DataFrame:
    """Return one row a tokenizer: what it changes, what is lost, how the codebook is used, and sizes.

    Args:
        frame: of `train_variants` with `TokenizerChoices`.
        profile: of the study.
        num_keypoints: K.
    """
    columns = tokenizer_columns(profile)
    table = summarise(frame, columns)
    table.insert(1, "change", [_change(name, profile, num_keypoints) for name in table["variant"]])
    for metric in ("bits", "weights"):  # the same for every seed
        heading = columns[metric].heading
        table[heading] = [float(value) for value in table[heading]]
    return table


def _change(variant: str, profile: Profile, num_keypoints: int) -> str:
    """Return the settings that a tokenizer changes, such as "drop_rate 0.2 to 0"."""
    changes = changes_of(variant, profile.tokenizer, num_keypoints=num_keypoints).items()
    return ", ".join(
        f"{key} {_short(getattr(profile.tokenizer, key))} to {_short(new)}" for key, new in changes
    )


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def error_bars(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the reconstruction errors as `bars_of`, in pixels."""
    return bars_of(frame, _ERRORS, scale=1.0)


def by_lookup(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a training and look-up, named "<variant>, <look-up>", from one row a training.

    Args:
        frame: of `train_variants` with `ClassifierChoices`.
    """
    rows = []
    for run in frame.to_dict("records"):
        for lookup in LOOKUPS:
            prefix = f"{lookup} "
            found = {key.removeprefix(prefix): value for key, value in run.items() if key.startswith(prefix)}
            kept = {key: run[key] for key in ("seed", FAILED) if key in run}
            rows.append({"variant": f"{run['variant']}, {lookup}"} | kept | found)
    return pd.DataFrame(rows)


def classifier_table(frame: pd.DataFrame, profile: Profile, *, train: People, val: People) -> pd.DataFrame:
    """Return one row a classifier and look-up, and first the mean pose, which ignores the image.

    Args:
        frame: of `by_lookup`.
        profile: of the study.
        train: training people.
        val: validation people.
    """
    table = summarise(frame, _CLASSIFIERS, name="classifier, look-up")
    floor = judge(val, mean_pose_predictions(train, val, profile.crop))
    return with_floor(table, shown(floor, _CLASSIFIERS))


def pck_bars(table: pd.DataFrame) -> pd.DataFrame:
    """Return the PCK of `classifier_table`, with the mean pose, one row a bar."""
    rows = []
    for joints in ("seen", "hidden"):
        for name, value in zip(table.iloc[:, 0], table[column(f"PCK@0.1 {joints}").heading], strict=True):
            rows.append({"classifier": name, "joints": joints} | interval_ends(value))
    return pd.DataFrame(rows)


def choices_finding(tokenizers: pd.DataFrame, classifiers: pd.DataFrame, profile: Profile) -> str:
    """Return in plain words what each choice changes, with the numbers.

    Args:
        tokenizers: of `train_variants`.
        classifiers: of `by_lookup`.
        profile: of the study.
    """
    share = f"{100 * profile.choices.evaluation_hidden:g} %"
    base = f"{BOTH}, soft"
    classifiers, coded = _apart(classifiers)
    sentences = [
        _differences(tokenizers, "error px", BASE, "Reconstruction error in px"),
        _differences(
            tokenizers, "error px, some hidden", BASE, f"The same with {share} of the joints hidden"
        ),
        _composition(tokenizers),
        _encoders(tokenizers),
        _differences(classifiers, "PCK@0.1 seen", base, "PCK@0.1 of seen joints in %", scale=100.0),
        _differences(classifiers, "PCK@0.1 hidden", base, "PCK@0.1 of hidden joints in %", scale=100.0),
        _codes(coded),
        interval_note(tokenizers),
        failures(tokenizers),
        failures(classifiers[classifiers["variant"].str.endswith(", soft")]),
        failures(coded[coded["variant"].str.endswith(", soft")]),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def choices_headline(tokenizers: pd.DataFrame, classifiers: pd.DataFrame, profile: Profile) -> str:
    """Return the few differences a reader should know; arguments as in `choices_finding`."""
    share = f"{100 * profile.choices.evaluation_hidden:g} %"
    given, hidden = "error px", "error px, some hidden"
    unseen = f"no joint hidden in training, measured with {share} of the joints hidden"
    parts = [
        _changed_by(tokenizers, given, "no joint hidden", "no joint hidden in training"),
        _changed_by(tokenizers, hidden, "no joint hidden", unseen),
        _changed_by(tokenizers, given, ONE, "one token for the whole pose"),
        _changed_by(tokenizers, given, "codebook by gradient", "a codebook learned by gradient"),
        _changed_by(tokenizers, given, SCALARS, "finite scalars in place of a codebook"),
        _changed_by(tokenizers, given, TWO_LEVELS, "codes of two levels"),
    ]
    words = "; ".join(part for part in parts if part)
    errors = f"Change of the reconstruction error, in px, against the profile's tokenizer: {words}."
    metric, base = "PCK@0.1 seen", f"{BOTH}, soft"
    classifiers, _ = _apart(classifiers)
    losses = [n for n in dict.fromkeys(classifiers["variant"]) if n != base]
    changes = [f"'{n}' {change_in_words(classifiers, metric, n, base)}" for n in losses]
    seen = f"Seen joints found, against '{base}', in points: {', '.join(changes)}." if changes else ""
    sentences = (errors if words else "", _composition(tokenizers), seen, interval_note(tokenizers))
    return " ".join(sentence for sentence in sentences if sentence)


def _apart(classifiers: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the classifiers of the profile's tokenizer, and those of other codes after a short schedule."""
    coded = classifiers["variant"].str.rpartition(", ")[0].isin(CODES)
    return classifiers[~coded], classifiers[coded]


def _codes(coded: pd.DataFrame) -> str:
    """Return what other codes change in images, against a codebook of as short a schedule."""
    base, *others = (f"{name}, soft" for name in CODES)
    sentences = [
        difference_in_words(coded, metric, other, base, what=f"points of {metric} joints")
        for other in others
        for metric in ("PCK@0.1 seen", "PCK@0.1 hidden")
        if difference(coded, metric, other, base) is not None
    ]
    return " ".join(sentences)


def _composition(frame: pd.DataFrame) -> str:
    """Return what composing a pose of three tokens changes against one that writes as many poses."""
    if difference(frame, "error px", AS_MANY_BITS, ONE) is None:
        return ""
    return difference_in_words(
        frame, "error px", AS_MANY_BITS, ONE, what="px of reconstruction error", scale=1
    )


def _changed_by(frame: pd.DataFrame, metric: str, variant: str, words: str) -> str:
    """Return the words with the difference of a variant to the base; empty if one was not measured."""
    if difference(frame, metric, variant, BASE) is None:
        return ""
    return f"{words} {change_in_words(frame, metric, variant, BASE, scale=1)}"


def _differences(frame: pd.DataFrame, metric: str, base: str, what: str, *, scale: float = 1.0) -> str:
    """Return the value of the base and how far each other variant is from it."""
    measured = frame[frame[metric].notna()] if metric in frame else frame.iloc[:0]
    names = list(dict.fromkeys(measured["variant"]))
    if base not in names:
        return f"{what}: not known, as '{base}' was not measured."
    mean = scale * measured.loc[measured["variant"] == base, metric].mean()
    others = [f"'{n}' {change_in_words(measured, metric, n, base, scale=scale)}" for n in names if n != base]
    return f"{what}: {mean:.2f} for '{base}'; against it {', '.join(others) or 'nothing'}."


def _encoders(frame: pd.DataFrame) -> str:
    """Return the sizes of the two encoders, if both were trained."""
    if "encoder weights" not in frame:
        return ""
    sizes = frame.groupby("variant")["encoder weights"].first().dropna()
    if not {BASE, MLP} <= set(sizes.index):
        return ""
    mixer, plain = (sizes[name] / 1000 for name in (BASE, MLP))
    return f"The mixer has {mixer:.1f} thousand weights, the plain MLP in its place {plain:.1f} thousand."
