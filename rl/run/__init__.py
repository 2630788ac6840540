"""The run folder: everything a run leaves behind, and everything it needs to go on."""
