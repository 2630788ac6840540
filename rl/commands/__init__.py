"""The commands of `penny`: they parse, call, and print."""
