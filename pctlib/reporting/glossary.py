"""Words of the field, explained where a page first uses them and in a list at its end."""

import re

from bs4 import BeautifulSoup, NavigableString, Tag

# word as pages write it -> what it means, in a sentence or two; longer words before those within them
WORDS = {
    "PCK@0.1": "Share of joints whose error is below 0.1 of the longer side of the person's box.",
    "PCK@0.2": "Share of joints whose error is below 0.2 of the longer side of the person's box.",
    "PCKh@0.5": "Share of joints whose error is below half the length of the head (MPII).",
    "OKS-AP": "COCO's measure: precision over people, averaged over ten tolerances of object keypoint "
    "similarity (OKS), in which each joint has a tolerance of its own. 100 % is best.",
    "NME": "Normalised mean error: the mean distance of a joint from its true place, over the longer side of "
    "the box.",
    "PA-MPJPE": "MPJPE after the pose has been moved, turned and scaled onto the true one (Procrustes).",
    "MPJPE": "Mean error of a joint in millimetres, with the pelvis put on the true one.",
    "PVE": "Mean error of the vertices of a mesh, in millimetres.",
    "mean pose": "The mean of all training poses in their boxes. It ignores the image: what does not beat it "
    "has learned nothing from images.",
    "heatmap control": "A heatmap head on the same frozen features as PCT, with the same people, views and "
    "epochs: it differs in the representation alone.",
    "hidden joints": "Joints that anything covers, the own body included, or that the frame cuts off.",
    "seen joints": "Joints that nothing covers and that lie within the frame.",
    "heatmap": "A map for each joint that says how likely it is at each place, read at its peak.",
    "interval": "Where the true value lies with 95 % confidence, by drawing people again many times "
    "(bootstrap) or over seeds. One that holds zero shows no difference.",
    "teacher": "A trained network whose answers or features another, the student, learns from.",
    "quantisation": "Taking the nearest entry of the codebook in place of a vector; or rounding to cells.",
    "commitment": "A term of the loss that keeps the features of tokens near their codebook entries.",
    "finite scalar": "A number rounded to one of a few levels; a few of them write a token without a learned "
    "list of vectors.",
    "codes of two levels": "An entry of one small codebook, and one of a second for what the first leaves.",
    "codebook": "The learned list of V vectors from which tokens are taken.",
    "perplexity": "How many entries of the codebook would give this much variety if all were used equally.",
    "tokens": "In PCT, what writes a pose: M of them, each one entry of the codebook. In a transformer, the "
    "vectors that attention works on.",
    "soft look-up": "Entries of the codebook mixed by their probabilities; a hard look-up takes the most "
    "probable one.",
    "flip test": "The mirrored image is predicted, too, and both answers are merged.",
    "frozen backbone": "The part of a network that turns an image into features, kept as it is while a head "
    "is trained on it.",
    "SimCC": "A joint as two classifications: one over the columns, one over the rows of the image.",
    "soft-argmax": "The mean place under a heatmap, in place of its maximum.",
    "DARK": "Heatmaps read by a Taylor expansion around their maximum, finer than a cell.",
    "RLE": "Residual log-likelihood estimation: coordinates with a learned shape of their errors.",
    "RTMCC": "The head of RTMPose: SimCC behind a gated attention unit.",
    "UDP": "Heatmaps with unbiased transformations between image and map.",
    "lifting": "From joints in the image to joints in 3D, without the image.",
    "SMPL-X": "A model of the body's surface with hands and face, posed by joint angles.",
    "calibration error": "Distance between how sure a network says it is and how often it is right.",
    "experts": "Parts of a network of which each serves one data set.",
    "knowledge token": "A token that is trained to hold what a teacher knows, and then given to a student.",
    "OKS": "Object keypoint similarity: 1 for a joint in its place, less the farther, over the size of the "
    "person and a tolerance of the joint.",
    "GFLOPs": "Billions of multiply-adds for one image.",
}
_SKIPPED = ("a", "code", "pre", "h1", "h2", "h3", "h4", "th", "button", "summary", "dfn", "svg", "script")
_READ = ("p", "li", "figcaption", "caption", "dt", "dd")


def explain_words(soup: BeautifulSoup) -> dict[str, str]:
    """Mark the first use of each word in running text, with its explanation as a tooltip.

    Args:
        soup: the content of a page; changed.

    Returns:
        The words that it uses, with their explanations, in alphabetical order.
    """
    found = {}
    for word, meaning in WORDS.items():
        if _mark_first(soup, word, meaning):
            found[word] = meaning
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _mark_first(soup: BeautifulSoup, word: str, meaning: str) -> bool:
    """Mark the first use that is in sight; one inside a fold only if there is no other."""
    small = word.islower()
    plural = "s?" if small else ""
    pattern = re.compile(rf"(?<![\w@-]){re.escape(word)}{plural}(?![\w@])", re.IGNORECASE if small else 0)
    uses = [text for text in soup.find_all(string=pattern) if _is_running_text(text)]
    if not uses:
        return False
    text = min(uses, key=lambda use: use.find_parent("details") is not None)
    before, match, after = _split(str(text), pattern)
    text.replace_with(NavigableString(before), _term(soup, match, meaning), NavigableString(after))
    return True


def _is_running_text(text: NavigableString) -> bool:
    return text.find_parent(_SKIPPED) is None and text.find_parent(_READ) is not None


def _split(text: str, pattern: re.Pattern[str]) -> tuple[str, str, str]:
    found = pattern.search(text)
    return text[: found.start()], found.group(), text[found.end() :]


def _term(soup: BeautifulSoup, word: str, meaning: str) -> Tag:
    term = soup.new_tag("dfn", attrs={"class": "term", "tabindex": "0"})
    term.append(word)
    note = soup.new_tag("span", attrs={"class": "meaning", "role": "note"})
    note.string = meaning
    term.append(note)
    return term
