"""The stages of the study: each trains or measures one thing and writes one folder."""
