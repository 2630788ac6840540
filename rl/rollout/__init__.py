"""Who answers: one `RolloutEngine` protocol (`engine.py`) and what implements it."""
