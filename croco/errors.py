"""The one exception a user is meant to read."""


class UserError(Exception):
    """Bad input: config, data, model or environment. Its text is one line that names the file, line or key and what to do.

    `croco.run` prints the text without a traceback and exits with code 2.
    """
