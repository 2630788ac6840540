"""What a shell asks of the command `penny`."""
