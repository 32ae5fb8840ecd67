"""The page `joint` of the study."""
