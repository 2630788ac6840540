"""From completions to graded answers, for training and evaluation alike."""
