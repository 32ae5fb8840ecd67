from bs4 import BeautifulSoup

from pctlib.reporting.glossary import WORDS, explain_words


def explained(page):
    soup = BeautifulSoup(page, "html.parser")
    return explain_words(soup), soup


def test_the_first_use_in_running_text_is_explained_and_listed():
    words, soup = explained("<h2>SimCC</h2><p>By <code>SimCC</code> or SimCC, the MPJPE; SimCC again.</p>")
    assert words == {"MPJPE": WORDS["MPJPE"], "SimCC": WORDS["SimCC"]}
    assert [term.contents[0] for term in soup.select("dfn")] == ["SimCC", "MPJPE"]
    assert soup.dfn.span.get_text() == WORDS["SimCC"]
    assert soup.h2.dfn is None
    assert soup.code.dfn is None


def test_longer_words_are_not_those_within_them():
    assert set(explained("<p>PA-MPJPE alone</p>")[0]) == {"PA-MPJPE"}
    assert set(explained("<p>OKS-AP alone</p>")[0]) == {"OKS-AP"}
    assert set(explained("<p>PCK@0.15</p>")[0]) == set()


def test_small_words_may_begin_a_sentence():
    words, soup = explained("<p>Mean pose: a floor.</p>")
    assert set(words) == {"mean pose"}
    assert soup.dfn.contents[0] == "Mean pose"


def test_a_use_in_sight_goes_before_one_in_a_fold():
    fold = "<details><summary>Numbers</summary><p>UDP and DARK</p></details>"
    words, soup = explained(f"{fold}<p>By UDP.</p>")
    assert set(words) == {"UDP", "DARK"}
    assert [term.contents[0] for term in soup.select("details dfn")] == ["DARK"]
    assert [term.contents[0] for term in soup.select("dfn") if not term.find_parent("details")] == ["UDP"]


def test_small_words_are_found_in_the_plural():
    words, soup = explained("<p>Two heatmaps of UDPs.</p>")
    assert set(words) == {"heatmap"}
    assert soup.dfn.contents[0] == "heatmaps"


def test_explanations_are_sentences():
    assert all(meaning[0].isupper() or meaning[0].isdigit() for meaning in WORDS.values())
    assert all(meaning.endswith(".") for meaning in WORDS.values())
