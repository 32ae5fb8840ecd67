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
    "codebook": "The learned list of V vectors from which tokens are taken.",
    "perplexity": "How many entries of the codebook would give this much variety if all were used equally.",
    "tokens": "PCT writes a pose as M tokens; each is one entry of the codebook.",
    "soft look-up": "Entries of the codebook mixed by their probabilities; a hard look-up takes the most "
    "probable one.",
    "flip test": "The mirrored image is predicted, too, and both answers are merged.",
    "frozen backbone": "The part of a network that turns an image into features, kept as it is while a head "
    "is trained on it.",
    "SimCC": "A joint as two classifications: one over the columns, one over the rows of the image.",
    "soft-argmax": "The mean place under a heatmap, in place of its maximum.",
    "DARK": "Heatmaps read by a Taylor expansion around their maximum, finer than a cell.",
    "UDP": "Heatmaps with unbiased transformations between image and map.",
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
    pattern = re.compile(rf"(?<![\w@-]){re.escape(word)}(?![\w@])", re.IGNORECASE if word.islower() else 0)
    for text in soup.find_all(string=pattern):
        if text.find_parent(_SKIPPED) or not text.find_parent(_READ):
            continue
        before, match, after = _split(str(text), pattern)
        text.replace_with(NavigableString(before), _term(soup, match, meaning), NavigableString(after))
        return True
    return False


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
