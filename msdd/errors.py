"""The one exception that users are meant to read."""


class MsddError(Exception):
    """Something the user can mend; the message is one line that names it and says how."""
