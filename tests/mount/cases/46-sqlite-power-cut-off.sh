#!/bin/bash
# timeout: 100
# P7: as 44, with a writer that asks for no sync at all; the barrier needs none,
# as long as it sees the writes (policy/barrier.h).
PASS=off
. "$TESTS/cases/44-sqlite-power-cut.sh"
