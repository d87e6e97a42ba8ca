"""`python -m gmembench` is the same command line as `gmembench`."""

from gmembench.benchmarks.cli import main

if __name__ == "__main__":
    main()
