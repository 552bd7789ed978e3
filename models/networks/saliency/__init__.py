"""Where in a patch a network's answer comes from: by covering places, and by its gradients.

`spatial` names each backbone's last layer that still has places.
May enter: another map over one patch, with its meaning and unit.
"""
