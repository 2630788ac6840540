"""For people who write rewards: templates to begin with, and an audit that tries to cheat."""
