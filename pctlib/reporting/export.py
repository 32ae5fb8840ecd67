"""Executed notebooks as self-contained pages: code folded away, figures with captions, nothing loaded."""

import base64
import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from pctlib.io import existing_file, write_text
from pctlib.reporting.answers import answer_box
from pctlib.reporting.images import image_element
from pctlib.reporting.markdown import plain_text, render_markdown
from pctlib.reporting.page import TEMPLATES, Site, render_page
from pctlib.reporting.provenance import Provenance
from pctlib.reporting.tables import csv_text_link

CAPTION = re.compile(r"\*\*(Figure|Table)\b")
IMAGES = ("image/svg+xml", "image/png", "image/jpeg")
WIDGET = "application/vnd.jupyter.widget-view+json"
UNREADABLE = (AttributeError, KeyError, TypeError)  # what nbformat raises on JSON that is no notebook
LABELS = {"parameters": "Parameters (defaults)", "injected-parameters": "Parameters of this run"}


def export_notebook(
    notebook_path: str | Path,
    html_path: str | Path,
    *,
    site: Site,
    page: str,
    finding: str = "",
    provenance: Provenance | None = None,
) -> Path:
    """Write an executed notebook as one HTML page that needs no network and no other file.

    A markdown cell that follows an output and starts with "**Figure" or "**Table" is its caption (its first
    paragraph; the rest stays text). The caption, or the cell's metadata `alt`, is the text in place of the
    picture.

    Args:
        notebook_path: the executed notebook.
        html_path: the page to write, atomically.
        site: the pages to link to.
        page: file name of this page in `site`.
        finding: markdown, what the page found out; stands under its title, after the question.
        provenance: where the page comes from.

    Returns:
        `html_path`.

    Raises:
        FileNotFoundError: if there is no such notebook.
        ValueError: if it is not a notebook, a cell failed or was not run, a picture has neither caption nor
            `alt`, or the site has no such page.
    """
    notebook = _read(notebook_path)
    _check_executed(notebook, notebook_path)
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            _describe(notebook, number, notebook_path)
    exporter = HTMLExporter(
        extra_template_basedirs=[str(TEMPLATES)],
        template_name="notebook",
        filters={"report_markdown": _markdown_filter(Path(notebook_path).parent)},
    )
    body, _ = exporter.from_notebook_node(notebook)
    answer = answer_box(site.questions.get(page, ""), finding)
    html = render_page(body, site=site, page=page, kind="notebook", answer=answer, provenance=provenance)
    return write_text(html_path, html)


def _read(path: str | Path) -> NotebookNode:
    path = existing_file(path)
    try:
        return nbformat.read(path, as_version=4)
    except (*UNREADABLE, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise ValueError(f"{path}: not a notebook ({type(error).__name__}: {str(error)[:200]})") from error


def _check_executed(notebook: NotebookNode, path: str | Path) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, start=1):
        for output in cell.outputs:
            if output.output_type == "error":
                line = cell.source.strip().splitlines()[0]
                raise ValueError(
                    f"{path}: code cell {number} ({line!r}) failed: {output.ename}: {output.evalue}"
                )
        if cell.source.strip() and cell.execution_count is None:
            raise ValueError(f"{path}: code cell {number} was not executed; expected an executed notebook")


def _describe(notebook: NotebookNode, index: int, path: str | Path) -> None:
    """Turn the outputs of one code cell into HTML and text, and give it its name, label and caption."""
    cell = notebook.cells[index]
    number = sum(c.cell_type == "code" for c in notebook.cells[: index + 1])
    following = notebook.cells[index + 1] if index + 1 < len(notebook.cells) else None
    caption = _take_caption(following) if cell.outputs else ""
    tags = cell.metadata.get("tags", [])
    cell.metadata["report"] = {
        "name": f"code cell {number} of {Path(path).name}",
        "label": next((LABELS[tag] for tag in tags if tag in LABELS), "Code"),
    }
    alt = str(cell.metadata.get("alt", "")) or plain_text(caption)
    outputs = [_simplify(output, alt, path, number) for output in cell.outputs]
    cell.outputs = _join_streams([output for output in outputs if output is not None])
    if caption:
        _set_caption(cell.outputs, caption)
    if not cell.source.strip():
        cell.metadata["transient"] = {"remove_source": True}


def _set_caption(outputs: list[NotebookNode], caption: str) -> None:
    """Make a figure with a caption of the last picture or table of a cell."""
    shown = [output for output in outputs if "text/html" in output.get("data", {})]
    if shown:
        words = f"<figcaption>{render_markdown(caption)}</figcaption>"
        shown[-1].data["text/html"] = f"<figure>{shown[-1].data['text/html']}{words}</figure>"


def _take_caption(cell: NotebookNode | None) -> str:
    """Remove the first paragraph of a markdown cell and return it, if it is a caption; else return ""."""
    if cell is None or cell.cell_type != "markdown" or not CAPTION.match(cell.source.lstrip()):
        return ""
    caption, _, rest = cell.source.lstrip().partition("\n\n")
    cell.source = rest
    return caption


def _simplify(output: NotebookNode, alt: str, path: str | Path, number: int) -> NotebookNode | None:
    """Return an output as a stream, HTML, markdown or text; None for progress bars and other widgets."""
    if output.output_type == "stream":
        return output
    data = output.data
    if WIDGET in data:
        return None
    mime = next((mime for mime in IMAGES if mime in data), None)
    if mime and "text/html" not in data:
        size = output.get("metadata", {}).get(mime, {})
        alt = str(size.get("alt", "")) or alt
        if not alt:
            raise ValueError(
                f"{path}: code cell {number} draws a picture without a caption; expected a markdown cell "
                'that starts with "**Figure" after it, or "alt" in the metadata of the cell'
            )
        picture = image_element(_decode(data[mime], mime), mime, alt=alt, width=size.get("width"))
        data = {"text/html": picture + _download(size.get("values"), alt, number)}
    return nbformat.v4.new_output("display_data", data=data)


def _download(values: str | None, alt: str, number: int) -> str:
    """Return a link to the numbers of a figure, named as its caption numbers it; "" where it has none."""
    if not values:
        return ""
    numbered = re.match(r"Figure (\w+)", alt)
    name = f"figure_{numbered.group(1)}" if numbered else f"cell_{number}"
    return f'<p class="download">{csv_text_link(values, name)}</p>'


def _decode(content: str, mime: str) -> bytes:
    return content.encode() if mime == "image/svg+xml" else base64.b64decode(content)


def _last_state(text: str) -> str:
    """Return what a terminal would show: of what was overwritten after a carriage return, only the last."""
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return "\n".join(lines)


def _join_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join neighbouring pieces of one stream, each as a terminal would show it, and drop empty ones."""
    joined: list[NotebookNode] = []
    for output in outputs:
        if joined and output.output_type == "stream" and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    streams = [output for output in joined if output.output_type == "stream"]
    for stream in streams:
        stream.text = _last_state(stream.text)
    return [output for output in joined if output.output_type != "stream" or output.text.strip()]


def _markdown_filter(folder: Path):
    """Return the filter that renders markdown of a cell, with its attachments."""

    def render(source: str, cell: NotebookNode) -> str:
        return render_markdown(source, folder=str(folder), attachments=cell.get("attachments"))

    return render
