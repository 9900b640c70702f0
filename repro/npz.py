"""Why a file is no .npz of arrays alone."""


def why(error):
    """What NumPy said of it, without its advice to allow pickled objects: no command here runs what a file holds."""
    advises = isinstance(error, ValueError) and "pickle" in str(error)  # an OSError may have it in a file's name
    return "it holds something else than arrays" if advises else str(error)
