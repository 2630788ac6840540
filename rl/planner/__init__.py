"""What a recipe will need and cost, before it runs."""
