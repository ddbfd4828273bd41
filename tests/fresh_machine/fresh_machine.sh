#!/bin/sh
# fresh_machine.sh -- runs a command on a minimal Debian: git, a shell, apt, and nothing else.
#
#     tests/fresh_machine/fresh_machine.sh trixie tools/run tests
#     USER_NAME=guest tests/fresh_machine/fresh_machine.sh bookworm tools/run example
#
# The machine is a folder that mmdebstrap makes, and it is removed at the end. The command runs in a copy of
# this checkout in a path with a space, as root, or as the user USER_NAME, who may use sudo. Needs root,
# mmdebstrap and a network. Prints how long the command took.

set -eu
[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
release=$1
shift
for tool in mmdebstrap unshare; do
    command -v $tool >/dev/null || { echo "$tool is not installed: skipped" && exit 0; }
done
[ "$(id -u)" -eq 0 ] || { echo "only root can make a machine, root is not installed: skipped" && exit 0; }

cd "$(dirname "$0")/../.."
user=${USER_NAME:-root}
machine=$(mktemp -d)
trap 'rm -rf --one-file-system "$machine"' EXIT
trap 'exit 1' INT TERM
include=git,ca-certificates
[ "$user" = root ] || include=$include,sudo
mmdebstrap --quiet --variant=minbase --include=$include --skip=cleanup/apt "$release" "$machine"

home="$machine/srv/a user"
mkdir -p "$home/slab allocator"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$home/slab allocator"
if [ "$user" != root ]; then
    chroot "$machine" useradd --home-dir "/srv/a user" --shell /bin/sh "$user"
    echo "$user ALL=(ALL) NOPASSWD: ALL" >"$machine/etc/sudoers.d/$user"
    chroot "$machine" chown -R "$user:" "/srv/a user"
fi

started=$(date +%s)
status=0
# shellcheck disable=SC2016 # the inner shell expands it
unshare --mount --pid --fork sh -c '
    machine=$1 user=$2
    shift 2
    mount -t proc proc "$machine/proc"
    mount --rbind /dev "$machine/dev"
    mount -t tmpfs tmpfs "$machine/tmp"
    chmod 1777 "$machine/tmp"
    cd "$machine/srv/a user/slab allocator"
    exec chroot --userspec="$user" "$machine" sh -c '\''
        cd "/srv/a user/slab allocator" && export HOME="/srv/a user" && exec "$@"'\'' sh "$@"
' sh "$machine" "$user" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" || status=$?
echo "$* on a fresh $release: $(($(date +%s) - started)) seconds, exit status $status"
exit $status
