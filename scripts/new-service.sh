#!/usr/bin/env bash
# A new service from templates/malha-service, as `spin new -t malha-service NAME` makes it, without Spin.
#
#   scripts/new-service.sh my-service [FOLDER]     (the folder is ./my-service unless said otherwise)
set -euo pipefail

usage() {
    echo "usage: $0 NAME [FOLDER]" >&2
    echo "NAME has lower-case letters, digits and single hyphens, and begins with a letter: my-service" >&2
    exit 2
}

[[ $# -ge 1 && $# -le 2 && $1 =~ ^[a-z][a-z0-9]*(-[a-z0-9]+)*$ ]] || usage
name=$1
folder=${2:-$name}
description='A service of WebAssembly'
content=$(cd "$(dirname "${BASH_SOURCE[0]}")/../templates/malha-service/content" && pwd)

if [[ -e $folder ]]; then
    echo "error: $folder is there already" >&2
    exit 1
fi
mkdir -p "$folder"
cp -R "$content/." "$folder"
find "$folder" -type f | while read -r file; do
    sed -e "s/{{project-name | kebab_case}}/$name/g" \
        -e "s/{{project-name | snake_case}}/${name//-/_}/g" \
        -e "s/{{project-description}}/$description/g" "$file" >"$file.new"
    mv "$file.new" "${file%.tmpl}"
    if [[ $file == *.tmpl ]]; then rm "$file"; fi
done
echo "$folder"
