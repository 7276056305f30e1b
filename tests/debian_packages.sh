#!/bin/sh
# Installs what requirements/debian.txt lists and this machine lacks: only as root and with apt-get. Ends with 0 in any
# case: a test whose package is missing is skipped and says so.
list=$(dirname "$0")/../requirements/debian.txt
missing=
for package in $(grep -v '^#' "$list"); do
    dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "tests that need these packages of Debian will be skipped:$missing"
    exit 0
fi
echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -q && apt-get install -qy --no-install-recommends $missing; } > /dev/null || echo "apt-get failed; the tests that need them will be skipped"
exit 0
