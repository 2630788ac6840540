"""What every room uses: errors, exit codes, signals, ranks, files that are whole or absent."""
