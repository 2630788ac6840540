"""What `penny reward new` writes: modules that work as they stand. `my_reward` becomes the new name."""
