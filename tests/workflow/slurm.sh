#!/bin/bash
# A real SLURM of five nodes on this one machine, for the time of a command:
#   tests/workflow/slurm.sh COMMAND...
# Needs Debian or Ubuntu (slurm-wlm 22.05 of Debian 12 was tried) and root, as in a fresh container:
#   apt-get update && apt-get install -y --no-install-recommends slurm-wlm munge
# Debian builds slurmd so that several of them run on one machine, each with its own name and port.
# The configuration goes to /etc/slurm, where jobs look: SLURM_CONF does not reach the steps that the
# executor plugin starts. A configuration that is there already is not touched: the script stops.
#
# Nodes n1 and n2 are alike; a job of partition `urgent` preempts those of `cpu`. n3, in partition
# `gpu`, has what SLURM takes for a GPU and no driver; n4 and n5, in partition `pair`, likewise.
# Requeued jobs wait for cred_expire, 5 s here.
set -euo pipefail
PATH=$PATH:/usr/sbin # of daemons

conf=/etc/slurm/slurm.conf
for program in munged slurmctld slurmd sbatch; do
    command -v "$program" >/dev/null || { echo "slurm.sh: $program is missing: apt-get install slurm-wlm munge" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "slurm.sh: run as root, which daemons of SLURM need" >&2; exit 1; }
[ ! -e "$conf" ] || { echo "slurm.sh: $conf exists: this machine has a SLURM of its own" >&2; exit 1; }

here=$(mktemp -d)
mkdir -p "$here"/{state,spool,n1,n2,n3,n4,n5}
host=$(hostname)
memory=$(slurmd -C | grep -o 'RealMemory=[0-9]*' | cut -d= -f2)

cat >"$conf" <<END
ClusterName=msdd
SlurmctldHost=$host
SlurmUser=root
StateSaveLocation=$here/state
SlurmdSpoolDir=$here/%n
SlurmctldPidFile=$here/slurmctld.pid
SlurmdPidFile=$here/%n.pid
SlurmctldLogFile=$here/slurmctld.log
SlurmdLogFile=$here/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory,CR_LLN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AuthInfo=cred_expire=5
GresTypes=gpu
ReturnToService=2
KillWait=5
SlurmdTimeout=15
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[17001-17002] CPUs=2 RealMemory=$memory
NodeName=n[3-5] NodeHostname=$host NodeAddr=127.0.0.1 Port=[17003-17005] CPUs=2 RealMemory=$memory Gres=gpu:1
PartitionName=cpu Nodes=n[1-2] Default=YES MaxTime=INFINITE PriorityTier=1
PartitionName=urgent Nodes=n[1-2] MaxTime=INFINITE PriorityTier=2 PreemptMode=OFF
PartitionName=gpu Nodes=n3 MaxTime=INFINITE
PartitionName=pair Nodes=n[4-5] MaxTime=INFINITE
END
echo "NodeName=n[3-5] Name=gpu File=/dev/null" >/etc/slurm/gres.conf

stop() {
    scancel --user root 2>/dev/null || true
    for file in "$here"/*.pid; do
        pid=$(cat "$file" 2>/dev/null) || continue
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do grep -qs '^State:.[^Z]' "/proc/$pid/status" || break; sleep 0.1; done
    done
    rm -rf "$conf" /etc/slurm/gres.conf "${here:?}"
}
trap stop EXIT

if ! munge -n >/dev/null 2>&1; then
    mkdir -p /run/munge
    chown munge: /run/munge
    setpriv --reuid munge --regid munge --clear-groups munged --force --pid-file /run/munge/msdd.pid --log-file /run/munge/msdd.log
    ln -s /run/munge/msdd.pid "$here/munged.pid"
fi
slurmctld
for node in n1 n2 n3 n4 n5; do slurmd -N "$node"; done
for _ in $(seq 60); do
    [ "$(sinfo -h -o %T | sort -u)" != idle ] || break
    sleep 0.5
done
sinfo -N
MSDD_SLURM=$here "$@"
