#!/bin/sh
# A set of docs/findings.md again: with the params that reports/measured/photos64-cpu keeps of it, in a
# clone of this checkout.
#
#     benchmarks/findings_run.sh SET CLONE PHOTOGRAPHS HELD_OUT [CORES]
#
# SET: main, or a folder there: seed1, seed2, splits, latents, ssdd, plain, autoencoder, taef2 (in
# CLONE, `taef2` is then to be the folder of its weights). CLONE: a new folder; if it is there, the run
# goes on. PHOTOGRAPHS, HELD_OUT: folders of images. What is stale or missing is made; the page is
# CLONE/reports/report.html. A set takes up to six hours on two cores.
set -eu
[ $# -ge 4 ] || { sed -n "2,/^set/s/^# \{0,1\}//p" "$0"; exit 2; }
here=$(cd "$(dirname "$0")/.." && pwd)
photographs=$(cd "$3" && pwd) held_out=$(cd "$4" && pwd)
kept=$here/reports/measured/photos64-cpu
[ "$1" = main ] || kept=$kept/$1
[ -f "$kept/params.yaml" ] || { echo "there is no set '$1': $kept/params.yaml is missing" >&2; exit 2; }
[ -d "$2" ] || git clone --quiet "$here" "$2"
cd "$2"
ln -sfn "$photographs" photographs
ln -sfn "$held_out" held_out
cp "$kept/params.yaml" params.yaml
msdd params expand
# Rows that take the encoder of this run name its digest, which is known when it is trained.
encoder=runs/msdd/stage1/model.safetensors
if grep -q "file: $encoder" params.yaml; then
    snakemake --cores "${5:-2}" "$encoder"
    digest=$(sha256sum "$encoder" | cut -d ' ' -f 1)
    sed -i "s|\(file: $encoder, sha256: \)[0-9a-f]*|\1$digest|" params.yaml
fi
exec snakemake --cores "${5:-2}"
