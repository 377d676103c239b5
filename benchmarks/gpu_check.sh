#!/usr/bin/env bash
# What one GPU does with msdd, in at most 8 minutes: benchmarks/gpu_check.sh [OTHER SYSTEMS]
#
# In the order of what is missed most, each part for so many seconds at most, into
# reports/measured/gpu-*: the FLOP card; the published student and its teachers; the pace of stage 1;
# decoders of others, with convolutions in channels-last. A part that fails or runs out of time leaves
# the others as they are. torch's compiled code lies in msdd's cache folder: carry it along.
# PRESET, OURS, OTHERS and OUT in the environment choose others, to try the script with MSDD_DEVICE=cpu.
set -u
cd "$(dirname "$0")/.."
if [ "${MSDD_DEVICE:-cuda}" != cpu ] && ! python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "make gpu-check: torch finds no GPU here; run it on a machine with one, such as an H100" >&2
    exit 1
fi
preset=${PRESET:-imagenet256} out=${OUT:-reports/measured} failed=0
precision=$([ "${MSDD_DEVICE:-cuda}" = cpu ] && echo fp32 || echo bf16)
mkdir -p "$out"

part() { # SECONDS NAME COMMAND...
    local seconds=$1 name=$2
    shift 2
    timeout "$seconds" "$@" && return
    echo "gpu-check: $name failed or took over $seconds s" >&2
    failed=1
}

timed() { # NAME SYSTEMS...: the first is what speed-ups are over
    local name=$1
    shift
    msdd throughput --preset "$preset" --random --systems "$@" --batches 1 16 64 --regions decode \
        --variants plain fast --precision "$precision" --repeats 5 --json "$out/gpu-$name.json"
}
export -f timed
export preset precision out

part 30 card msdd flops --preset "$preset" --device this --precision "$precision" --json "$out/gpu-card.json"
part 150 decoders bash -c 'timed decoders "$@"' ours ${OURS:-student teacher one-scale-teacher}
part 90 training python benchmarks/training_pace.py --preset "$preset" --json "$out/gpu-training.json"
part 200 others bash -c 'timed others student "$@"' others ${OTHERS-llamagen-16 sd-vae-ft-mse cosmos-di16x16 titok-s-128} "$@"
exit $failed
