"""Penny: R1-style reinforcement learning for small models."""
