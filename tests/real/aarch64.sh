#!/bin/sh
# A Nano's processor without a Nano: FOLDER/python runs Debian 11's Python 3.9 for arm64 under qemu-user, as a Cortex-A57.
# It needs no root, no mounts and no binfmt_misc. Usage: aarch64.sh FOLDER PIP...; PIP is the command that calls pip.
set -e
here=$(cd "$(dirname "$0")" && pwd)
pins=$here/../../requirements/aarch64.txt
mkdir -p "$1"
# Of two that need it, one makes it.
exec 9> "$1.lock"
flock 9
folder=$(cd "$1" && pwd)
shift
stamp=$folder/ready-$(cat "$0" "$pins" | sha256sum | cut -c1-16)
[ -e "$stamp" ] && exit 0

for command in qemu-aarch64-static apt-get dpkg-deb; do
    command -v $command > /dev/null || { echo "no $command on this machine"; exit 3; }
done
rm -rf "$folder"
mkdir -p "$folder/apt/lists" "$folder/apt/archives/partial" "$folder/root" "$folder/site"

# pip fetches while apt does.
"$@" install -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.9 --implementation cp \
    --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 --target "$folder/site" -r "$pins" \
    > "$folder/pip.log" 2>&1 &
pip=$!

# apt with lists of its own. It resolves, checks signatures and fetches; nothing is installed on this machine.
: > "$folder/apt/status"
echo "deb http://deb.debian.org/debian bullseye main" > "$folder/apt/sources.list"
cat > "$folder/apt/conf" << END
Dir::State::status "$folder/apt/status";
Dir::State::lists "$folder/apt/lists";
Dir::Cache "$folder/apt";
Dir::Etc::sourcelist "$folder/apt/sources.list";
Dir::Etc::sourceparts "-";
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
END
export APT_CONFIG="$folder/apt/conf"
{ apt-get -q update && apt-get -qy --download-only install python3 libgomp1 libstdc++6; } > "$folder/apt.log" 2>&1 \
    || { kill $pip 2> /dev/null; echo "apt-get has no arm64 Python of Debian 11: $(tail -n 1 "$folder/apt.log")"; exit 3; }
for package in "$folder"/apt/archives/*.deb; do
    dpkg-deb -x "$package" "$folder/root"
done
rm -rf "$folder/apt"
wait $pip || { echo "pip has no wheels for aarch64: $(tail -n 1 "$folder/pip.log")"; exit 3; }

cat > "$folder/python" << END
#!/bin/sh
exec qemu-aarch64-static -cpu cortex-a57 -L "$folder/root" "$folder/root/usr/bin/python3.9" "\$@"
END
chmod +x "$folder/python"
PYTHONPATH=$folder/site "$folder/python" -c "import numpy, onnxruntime, PIL._imaging" \
    || { echo "the emulated Python does not start"; exit 3; }
touch "$stamp"
