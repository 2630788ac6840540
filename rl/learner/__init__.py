"""What is learned: from rewards and log-probabilities to a gradient step."""
