"""The figures of the report: one a file, found by walking this folder."""
