#!/bin/sh
# real_text.sh -- a real text of about MEGABYTES, from what the machine has: headers first, then
# scripts and documents.
#
#     examples/real_text.sh MEGABYTES > text
set -eu

find /usr/include /usr/share /usr/lib -type f \( -name '*.h' -o -name '*.hpp' -o -name '*.md' \
    -o -name '*.txt' -o -name '*.py' -o -name '*.pm' -o -name copyright \) -print 2>/dev/null |
    LC_ALL=C sort | tr '\n' '\0' | xargs -0 cat 2>/dev/null | head -c "${1}000000"
