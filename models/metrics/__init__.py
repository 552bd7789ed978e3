from models.metrics.accuracy import group_metrics as group_metrics
