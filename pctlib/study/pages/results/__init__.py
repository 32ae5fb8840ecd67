"""The page `results` of the study."""
