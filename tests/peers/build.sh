#!/usr/bin/env bash
# Builds the peers that the fault tests compare heatstream with, from the Go module proxy, with just the plugins needed:
# Telegraf 1.37.2 and Benthos 4.27.0, into $HEATSTREAM_SERVERS/peers, or .cache/peers of the repository.
#
# Needs Go 1.25.5 or newer. Takes about 6 minutes and 4 GB of Go's module and build cache, on one core at low priority.
# What is there is not built again. No part of CI.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${HEATSTREAM_SERVERS:-$here/../../.cache}/peers
command -v go >/dev/null || { echo "go is missing: install Go 1.25.5 or newer" >&2; exit 1; }
mkdir -p "$target"
target=$(cd "$target" && pwd)
# The modules' own lists of dependencies are used as they are; go.sum here holds what they must hash to.
export GOFLAGS=-mod=mod GOMAXPROCS=1

build() {
    local name=$1 folder=$2
    shift 2
    if [ -x "$target/$name" ]; then
        echo "$name is there: $target/$name"
        return 0
    fi
    (cd "$here/$folder" && nice -n 19 go build -trimpath -o "$target/$name" "$@")
    echo "$name built: $target/$name"
}

build telegraf telegraf \
    -tags custom,inputs.mqtt_consumer,outputs.kafka,parsers.value,parsers.json_v2,serializers.template \
    -ldflags "-X github.com/influxdata/telegraf/internal.Version=1.37.2" \
    github.com/influxdata/telegraf/cmd/telegraf
build benthos benthos .
