"""The token classifier: stage II of PCT."""
