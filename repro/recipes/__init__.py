"""Recipes: everything that a run is made of, one .toml each."""
