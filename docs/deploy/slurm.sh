#!/bin/bash
# Two processes of one training, one a node: sbatch docs/deploy/slurm.sh
#SBATCH --job-name=kerasft
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --signal=TERM@120        # two minutes to save a checkpoint
#SBATCH --requeue

hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed 's/$/:2222/' | paste -sd, -)
srun --kill-on-bad-exit=1 kerasft launch --hosts "$hosts" -- kerasft run imdb
