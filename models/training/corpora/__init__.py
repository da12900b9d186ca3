"""Readers of published corpora, each in the layout in which it is given out."""
