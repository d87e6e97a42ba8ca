"""A history: a folder of result files that are never changed, an index that can be made anew, and change points."""
