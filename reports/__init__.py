"""Reports: result files in, one self-contained HTML page and its figures out.

This folder knows result files only. It is the only home of pandas and matplotlib.
"""
