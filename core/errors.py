"""The one exception for what a user can cause."""


class UserError(Exception):
    """A mistake in usage or input, told in one line: what is wrong, where, and the mend.

    The command line prints it on standard error and exits with 2.
    """

    def __init__(self, what: str, where: str, mend: str) -> None:
        super().__init__(what, where, mend)
        self.what, self.where, self.mend = what, where, mend

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.mend}"


class OutsideError(UserError, IndexError):
    """A program leaves the model: a row, or a rule after it, uses an element of an array that is not there.

    Designs do not do that; programs that were edited may.
    """
