"""From patches to a classifier: data, networks, metrics, algorithms and the training of them.

Knows arrays and tensors; neither YAML nor MLflow nor the paths of stages. `groups` is the ground.
May enter: what a training or its figures compute, whatever cohort it is. Settings' files stay in pipeline.
"""
