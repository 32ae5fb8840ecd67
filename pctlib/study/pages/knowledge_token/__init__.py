"""The page `knowledge_token` of the study."""
