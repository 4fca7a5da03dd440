"""florc: the compiler of hindsight logging.  Text in, text out; never runs the user's code."""

__version__ = "0.1.0"
