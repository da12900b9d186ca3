"""Where each feature stands in the vector of one step: right hand, left hand, geometry, mouth."""

HAND = 96
GEOMETRY = 24
MOUTH = 96

MANUAL = 2 * HAND + GEOMETRY
STEP = MANUAL + MOUTH

NUMBERS = 46
"""Of a slot, what its stream goes on from beside its features: see models/recall.py. The first is the steps seen."""
