"""The page `masked` of the study."""
