"""The stages of PCT: heatmap backbone, tokenizer, token classifier."""
