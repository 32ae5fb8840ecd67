"""Reports: executed notebooks as offline pages, tables and the index."""
