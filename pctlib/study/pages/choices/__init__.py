"""The page `choices` of the study."""
