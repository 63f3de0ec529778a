#!/usr/bin/env bash
# Builds and tests a copy of this folder by itself, then packages it as for publishing. Arguments go to cargo, for example
# --offline. CARGO_TARGET_DIR names a folder for the build; without it everything is built anew and thrown away.
set -euo pipefail
cd "$(dirname "$0")"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$copy/target}
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 # nobody debugs this build

cp -r . "$copy/softcuda"
(cd "$copy/softcuda" && cargo test "$@")
cargo package --package softcuda --allow-dirty "$@"
