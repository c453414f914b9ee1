"""Drivers: one file or folder per device kind and library.

Nothing else imports such a library; entry points name them.
"""
