"""What a training imports, for a server that forks processes from itself: each would take seconds for it."""

from importlib import import_module

from models.networks.lean import lean_monai

with lean_monai():
    import_module("monai.networks.nets")
import_module("torch._dynamo")
import_module("tests.models.interruptible")
