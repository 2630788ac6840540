"""What a name stands for, and the nearest one that exists when it stands for nothing. Imports nothing heavy."""
