"""Events, one file each; the value EVENT of each file is registered by being there."""
