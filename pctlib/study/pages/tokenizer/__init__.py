"""The tokenizer: stage I of PCT."""
