#!/bin/sh
# bazel.sh runs the unit tests in the source tree, for the Bazel target //:test.
set -eu
export PATH="$PATH:/usr/local/go/bin" HOME="${HOME:-/root}"
cd "$(dirname "$(realpath go.mod)")"
exec make unit
