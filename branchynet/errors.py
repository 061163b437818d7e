"""The errors a user can mend: the command line prints their message, without a traceback, and exits with status 2.

Every message says what was expected and what came.
"""


class UserError(Exception):
    """Something the caller gave cannot be used; the message says what was expected and what came."""


class DataError(UserError):
    """A data set cannot be had, or what was found is not the data set that was asked for."""


class DeviceError(UserError):
    """The device that was asked for cannot be used; the message says what is missing."""


class NetworkError(UserError, ValueError):
    """A network list, or an input to a network, is not of the form it must have."""


class ThresholdError(UserError, ValueError):
    """Thresholds that do not fit the network's exits."""


class SnapshotError(UserError):
    """Saved weights or a snapshot that cannot be read, or that belong to another network or run."""


class TrainingError(UserError, ValueError):
    """Settings of training that do not fit the network or each other, or a loss that is not a number."""


class RecordError(UserError, ValueError):
    """A record that is not there, cannot be read, or is not of the form that this version reads."""


class OutputError(UserError):
    """A result cannot be written where it was asked for."""


class ReportError(UserError):
    """A report that cannot be made: a package is missing, or the exit records are not those of the run."""


class CompileError(UserError):
    """A network, an engine or a device that a plan cannot be made for."""


class MeasureError(UserError, ValueError):
    """A confidence measure that is not known, or that does not fit the network or what it is to be fitted to."""


class NotFittedError(MeasureError, AttributeError):
    """A confidence measure that must be fitted, and is asked before that."""
