"""Workers, group commit, backoff, leases: knows jobs, not business."""
