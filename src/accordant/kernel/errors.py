"""The five error roots: the class of an error says what happens next, and nothing else does.

AccordantError
├── TransientError         try again by itself, later
├── HoldError              wait for a person or for a state
├── RejectedError          this input can never work: dead letter
├── ConfigurationError     a setting is wrong: disable the flow, name the setting
└── InvariantBroken        we have a bug: stop the lane, tell a person

Leaves live in the module that raises them. Expected outcomes are values, not exceptions.
"""


class AccordantError(Exception):
    """Something Accordant cannot do as asked.

    The docstring of a class is its default message. ``message`` is written for the operator and never holds a secret;
    ``remedy`` names the next step.
    """

    remedy: str = ""

    def __init__(self, message: str = "", *, remedy: str = "") -> None:
        self.message = message or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0]
        if remedy:
            self.remedy = remedy
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()


class TransientError(AccordantError):
    """The other side is not ready; the same call may work later.

    Units: ``retry_after_s`` in seconds, None where the other side named no time.
    """

    remedy = "It is tried again by itself."

    def __init__(self, message: str = "", *, remedy: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s


class HoldError(AccordantError):
    """The work waits for a person or for a state to change."""

    remedy = "It continues once the cause is settled; nothing is lost meanwhile."


class RejectedError(AccordantError):
    """This input can never work as it is."""

    remedy = "It was set aside with its reason; correct the cause, then redrive it."


class ConfigurationError(AccordantError):
    """A setting is wrong or missing."""

    remedy = "Correct the setting; the previous configuration stays in force."


class InvariantBroken(AccordantError):
    """Something that must always hold did not: this is a defect in Accordant."""

    remedy = "The lane was stopped before anything wrong was written; please report this with the trace id."
