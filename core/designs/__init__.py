"""Designs: how private memory is backed. One file each: data, with a value `DESIGN`."""
