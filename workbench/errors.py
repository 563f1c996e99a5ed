"""What a user of the workbench can cause, as a tree.

    WorkbenchError                  its text is one sentence: what was expected, what came, what to do
    ├── FileError                   a file or folder that cannot be used as it is
    │   ├── UnreadableFile          truncated, corrupt, or not the format that its name says
    │   ├── TooLarge                would need more memory or disk than the limits allow
    │   └── UnsafeFile              names outside its folder, links, pickles: never opened
    ├── GeometryError               grids, affines and spacings that do not fit together
    ├── CohortError                 cohort.csv: missing columns, unknown subjects, leaking splits
    ├── SettingsError               a setting out of its bounds, an unknown system or phantom
    ├── RunError                    a run that is missing, unfinished, lost, or of another system
    └── Cancelled                   the user asked a long operation to stop

What a programmer causes is ``ValueError``, ``TypeError`` or ``LookupError`` and never one of these.
"""

from __future__ import annotations


class WorkbenchError(Exception):
    """Anything a user can cause; the text is shown to them as it is."""


class FileError(WorkbenchError):
    """A file or folder cannot be used as it is."""


class UnreadableFile(FileError):
    """The file is truncated, corrupt, or not of the format that its name says."""


class TooLarge(FileError):
    """Reading the file would need more memory or disk than the limits allow."""


class UnsafeFile(FileError):
    """The file would write outside its folder or run code, so it is not opened."""


class GeometryError(WorkbenchError):
    """Grids, affines or spacings do not fit together."""


class CohortError(WorkbenchError):
    """A cohort lacks what was asked of it, or contradicts itself."""


class SettingsError(WorkbenchError):
    """A setting, system or phantom name is not one that is known or allowed."""


class RunError(WorkbenchError):
    """A run is missing, unfinished, lost, or belongs to another system."""


class Cancelled(WorkbenchError):
    """The user stopped a long operation; what it had written is gone again."""
