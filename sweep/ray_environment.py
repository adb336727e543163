"""Ray's switches. Ray reads them from the environment when it is imported, so they are set before that."""

import os

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",  # torch's, for workers: few gaps in their share of a GPU
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}
LOCAL = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the only switch that keeps Ray on loopback; it also bars other nodes
    "RAY_memory_monitor_refresh_ms": "0",  # Ray's own out-of-memory kill would end the whole sweep
    "RAY_USAGE_STATS_ENABLED": "0",
}


def set_ray_environment(address: str | None) -> None:
    """Make Ray quiet and, unless it is to attach to the cluster at `address`, keep it on this machine's loopback."""
    os.environ.update(QUIET if address else QUIET | LOCAL)
