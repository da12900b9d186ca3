"""Media bytes -> frames on the translator's canvas and clock, decoded in supervised child processes."""
