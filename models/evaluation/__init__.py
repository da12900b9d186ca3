"""Measurements of a checkpoint, one kind of data a module."""
