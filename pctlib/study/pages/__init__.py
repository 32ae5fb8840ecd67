"""What each page of the study trains or measures, and what it tells; a folder a page."""
