"""How many random stories a test tells: in a long run more of them."""

import os


def stories(usual: int) -> int:
    """HANDSET_STORIES, where it is set; else `usual`, which finds what is broken by and large, in seconds."""
    return int(os.environ.get("HANDSET_STORIES", usual))
