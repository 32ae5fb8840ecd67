"""Reports: executed notebooks as offline pages, tables and the index."""

from pctlib.reporting.export import export_notebook
from pctlib.reporting.index import Figure, Highlight, IndexPage, Section, write_index
from pctlib.reporting.page import Site
from pctlib.reporting.records import fill, read_history
from pctlib.reporting.run_card import RunCard, collect, load_run_card
from pctlib.reporting.tables import Interval, Table, beside, csv_link, mean_interval, published

__all__ = [
    "Figure",
    "Highlight",
    "IndexPage",
    "Interval",
    "RunCard",
    "Section",
    "Site",
    "Table",
    "beside",
    "collect",
    "csv_link",
    "export_notebook",
    "fill",
    "load_run_card",
    "mean_interval",
    "published",
    "read_history",
    "write_index",
]
