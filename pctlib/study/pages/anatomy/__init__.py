"""The page `anatomy` of the study."""
