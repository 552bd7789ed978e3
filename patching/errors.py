"""Every error evenpatch raises on purpose.

    EvenpatchError
    ├── ConfigError(ValueError)            a YAML file or a setting
    ├── ManifestError(ValueError)          slides.csv
    ├── BusyError                          another process is at work on the same files
    ├── ErrorBudgetError                   more bad slides than the cohort allows
    ├── EmptyCohortError                   slides that are sound, and not one patch from any of them
    ├── SlideError(OSError)
    │   ├── MissingFileError(FileNotFoundError)
    │   ├── UnreadableSlideError           damaged, or no reader knows the format
    │   ├── ChannelError                   wrong number or names of channels, mixed dtypes or sizes
    │   └── MissingMppError                a µm-based spec on a slide without pixel size
    ├── PatchError(ValueError)             bytes that are no patch, or not of the model
    ├── AnnotationError(ValueError)        invalid, or outside the slide
    ├── StoreError(OSError)                a patch store that is missing, damaged or of another schema
    ├── DiskSpaceError(OSError)             no room for the patches
    ├── MemoryShortageError(MemoryError)    less memory than the work needs
    ├── ArtifactError(OSError)             the output of an earlier stage is missing or malformed
    ├── GroupError(ValueError)
    │   └── EmptyGroupError                a (label, attribute) cell without a sample
    ├── AlgorithmError(ValueError)
    │   └── BetaBoundsError                beta leaves p_ext outside [0, 1]
    ├── DivergenceError(ArithmeticError)    a loss or gradient that is not finite
    ├── CheckpointError(OSError)
    └── RegistryError                      the model registry refuses, or the gate holds

The command line prints such an error and exits with code 2; anything else is a defect.
"""


class EvenpatchError(Exception):
    """An expected failure, told so that the reader can act on it.

    Args:
        has: what was found, with the value.
        needs: what is required instead.
        do: the next thing to try.
    """

    def __init__(self, *, has: str, needs: str, do: str) -> None:
        self.has, self.needs, self.do = has, needs, do
        super().__init__(f"has: {has}\nneeds: {needs}\ndo: {do}")

    @property
    def in_one_line(self) -> str:
        """The same for a table's cell."""
        return f"{self.has}; needs {self.needs}; {self.do}".replace("\n", " ")

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes send errors back by pickle, which cannot guess keyword-only arguments.
        return _rebuild, (type(self), self.has, self.needs, self.do)


def _rebuild(kind: type[EvenpatchError], has: str, needs: str, do: str) -> EvenpatchError:
    return kind(has=has, needs=needs, do=do)


class ConfigError(EvenpatchError, ValueError):
    """A configuration file or setting is wrong."""


class ManifestError(EvenpatchError, ValueError):
    """The cohort's slides.csv is wrong."""


class BusyError(EvenpatchError):
    """Another process writes what this one needs, or reads what this one would write."""


class ErrorBudgetError(EvenpatchError):
    """More slides failed than the cohort's error budget allows."""


class EmptyCohortError(EvenpatchError):
    """Not one patch could be cut from the whole cohort."""


class SlideError(EvenpatchError, OSError):
    """A slide cannot be used."""


class MissingFileError(SlideError, FileNotFoundError):
    """A file named by the manifest or the command line does not exist."""


class UnreadableSlideError(SlideError):
    """The file is damaged, or no reader knows its format."""


class ChannelError(SlideError):
    """The channels are not the ones asked for, or do not fit together."""


class MissingMppError(SlideError):
    """A patch spec in micrometres meets a slide without a pixel size."""


class PatchError(EvenpatchError, ValueError):
    """Bytes that are no patch, or none that the model takes."""


class AnnotationError(EvenpatchError, ValueError):
    """An annotation is invalid or lies outside its slide."""


class StoreError(EvenpatchError, OSError):
    """A patch store is missing, damaged or of another schema."""


class DiskSpaceError(EvenpatchError, OSError):
    """The disk has no room for the patches."""


class MemoryShortageError(EvenpatchError, MemoryError):
    """The work needs more memory than there is."""


class ArtifactError(EvenpatchError, OSError):
    """The output of an earlier stage is missing or malformed."""


class GroupError(EvenpatchError, ValueError):
    """Labels, attributes or groups do not fit together."""


class EmptyGroupError(GroupError):
    """A (label, attribute) group has no training sample."""


class AlgorithmError(EvenpatchError, ValueError):
    """A debiasing algorithm cannot run with these settings on these groups."""


class BetaBoundsError(AlgorithmError):
    """GERNE's beta leaves the extrapolated distribution outside [0, 1]."""


class DivergenceError(EvenpatchError, ArithmeticError):
    """A training's loss or gradient is no longer finite."""


class CheckpointError(EvenpatchError, OSError):
    """A checkpoint is missing, damaged or of another model."""


class RegistryError(EvenpatchError):
    """The model registry refuses, or the gate holds the model back."""
