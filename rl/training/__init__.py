"""The training loop of GRPO, and the state that it keeps."""
