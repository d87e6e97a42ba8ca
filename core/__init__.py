"""The model: a design is a set of programs, a program is a list of steps, a driver decides who steps next.

Programs are data. This package imports nothing by itself, so that parts which need no NumPy stay importable without it.
"""
