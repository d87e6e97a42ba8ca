"""Scenarios, the matrix of cells, the pyperf harness and the command line."""
