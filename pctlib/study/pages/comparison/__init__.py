"""The page `comparison` of the study."""
