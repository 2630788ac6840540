"""The stages around reinforcement learning in R1, and the pipelines that they make."""
