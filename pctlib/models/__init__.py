"""Networks: backbones, the tokenizer and the pose representations."""
