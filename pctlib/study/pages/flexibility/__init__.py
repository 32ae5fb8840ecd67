"""The page `flexibility` of the study."""
