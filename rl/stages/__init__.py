"""What surrounds reinforcement learning in R1: traces, fine-tuning, rejection sampling, and the pipeline of stages."""
