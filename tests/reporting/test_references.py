from bs4 import BeautifulSoup

from pctlib.reporting.references import link_figures

PAGE = """
<p>As Figure 1 and <b>Table 2</b> show, not Figure 7, nor <code>Figure 1</code>.</p>
<figure><img><figcaption><p><strong>Figure 1.</strong> A curve, see Table 2.</p></figcaption></figure>
<div class="table-block"><table>
<caption><span><strong>Table 2.</strong> Numbers.</span></caption>
</table></div>
"""


def test_figures_and_tables_get_ids_and_the_text_links_to_them():
    soup = BeautifulSoup(PAGE, "html.parser")
    assert link_figures(soup) == ["figure-1", "table-2"]
    assert soup.figure["id"] == "figure-1"
    assert soup.select_one(".table-block")["id"] == "table-2"
    links = [(a["href"], a.get_text()) for a in soup.select("a:not(.anchor)")]
    assert links == [("#figure-1", "Figure 1"), ("#table-2", "Table 2"), ("#table-2", "Table 2")]
    assert soup.p.get_text() == "As Figure 1 and Table 2 show, not Figure 7, nor Figure 1."


def test_a_caption_links_to_itself_once_by_its_anchor():
    soup = BeautifulSoup(PAGE, "html.parser")
    link_figures(soup)
    assert [a["href"] for a in soup.select("figcaption .anchor, caption .anchor")] == [
        "#figure-1",
        "#table-2",
    ]
    assert soup.figcaption.strong.a is None


def test_the_second_of_a_number_gets_no_id():
    soup = BeautifulSoup(PAGE + PAGE, "html.parser")
    assert link_figures(soup) == ["figure-1", "table-2"]
    assert len(soup.select("[id]")) == 2
