"""Models: where they come from, what their files must have, and their adapters."""
