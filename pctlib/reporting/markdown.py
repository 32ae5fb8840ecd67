"""Markdown to HTML, the same for notebooks and the index; formulas stay text, since pages load nothing."""

import re

from bs4 import BeautifulSoup
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath


class _Renderer(IPythonRenderer):
    """nbconvert's renderer with formulas as styled text instead of input for MathJax."""

    def inline_math(self, body: str) -> str:
        return f'<span class="math">{self.escape_html(body)}</span>'

    def block_math(self, body: str) -> str:
        return f'<div class="math">{self.escape_html(body)}</div>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(body)


def render_markdown(source: str, *, folder: str = "", attachments: dict | None = None) -> str:
    """Return `source` as HTML.

    Args:
        source: markdown, with HTML allowed; write formulas in Unicode, since no TeX is typeset.
        folder: images are found relative to it and embedded.
        attachments: of a notebook cell, by file name.
    """
    renderer = _Renderer(
        escape=False, exclude_anchor_links=True, embed_images=True, path=folder, attachments=attachments
    )
    return MarkdownWithMath(renderer=renderer).render(source)


def plain_text(source: str) -> str:
    """Return what a reader of rendered `source` would read, on one line, for alternative texts."""
    return " ".join(BeautifulSoup(render_markdown(source), "html.parser").get_text().split())


def first_sentence(text: str) -> tuple[str, str]:
    """Return the first sentence of a text, and the rest; a point before a capital ends a sentence."""
    first, *rest = re.split(r"(?<=[.!?])\s+(?=[A-Z'\[*])", text.strip(), maxsplit=1)
    return first, "".join(rest)
