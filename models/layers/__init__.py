"""Building blocks of the temporal networks, each with an offline forward and a step that gives the same."""
