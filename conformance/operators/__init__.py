"""The tests, one file a clause group."""
