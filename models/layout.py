"""Where each feature stands in the vector of one step: right hand, left hand, geometry, mouth."""

HAND = 96
GEOMETRY = 24
MOUTH = 96

MANUAL = 2 * HAND + GEOMETRY
STEP = MANUAL + MOUTH

RIGHT_HAND_CHANNELS = slice(0, HAND)
LEFT_HAND_CHANNELS = slice(HAND, 2 * HAND)
GEOMETRY_CHANNELS = slice(2 * HAND, MANUAL)
MANUAL_CHANNELS = slice(0, MANUAL)
MOUTH_CHANNELS = slice(MANUAL, STEP)

NUMBERS = 47
"""Of a slot, what its stream goes on from beside its features: see models/recall.py. The first is the steps seen."""
