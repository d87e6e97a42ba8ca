"""Hardware: what memory encryption adds to the programs. One file each, with a value `HARDWARE`."""
