"""The one error that users cause and can mend. The command line prints it as a single line and exits with 2."""


class InputError(ValueError):
    """Something given to the library is wrong; the message names the thing, its value and the next step."""
