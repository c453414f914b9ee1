# SPDX-License-Identifier: Apache-2.0
"""Why the telephone, or one account, cannot run as it is configured."""


class Unusable(Exception):
    """It cannot run like this; `code` is stable, `retryable` when waiting may help."""

    def __init__(self, code: str, message: str, hint: str = "", *, retryable: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.retryable = retryable
