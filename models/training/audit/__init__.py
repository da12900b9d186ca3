"""The audit of labels by a person: a page to mark tokens on, what it said, and whether the labels may be trusted."""
