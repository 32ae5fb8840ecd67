"""The page `grid` of the study."""
