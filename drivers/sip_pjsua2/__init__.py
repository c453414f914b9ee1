# SPDX-License-Identifier: Apache-2.0
"""The telephone on PJSIP: `client` supervises and talks to the SIP process, `child` is that process.

The child links PJSIP and is GPL-2.0-or-later; nothing in it is imported by the rest of Handset.
Both sides share only `wire`.
"""
