"""Speed, measured against what a user would pick instead, in one run on the same inputs: `frcnn bench`."""
