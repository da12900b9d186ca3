"""Recipes that make the checkpoints: one stage a module, each resumable."""
