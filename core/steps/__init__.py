"""Steps: what one CPU does between two points at which another CPU can intervene. One module a family."""
