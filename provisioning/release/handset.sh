#!/bin/sh
# bin/handset of a release. The link `current` is followed once: a process that runs stays with the release it began with.
release=$(dirname "$(dirname "$(readlink -f "$0")")")
export PYTHONPATH="$release/site"
exec /usr/bin/python3 -P -s -m appliance.cli "$@"
