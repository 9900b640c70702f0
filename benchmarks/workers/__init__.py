"""One program for each library, run by the Python that has it; serve.py says how they talk. None is imported."""
