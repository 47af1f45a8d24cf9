"""What speaks for and against a connector, as an evidence pack shows it before anybody decides for one.

Filled from manifests and scorecards by `connectors/sdk/evidence.py`, written by `operations/pack.py`.
"""

import msgspec


class CapabilityScore(msgspec.Struct, frozen=True, kw_only=True):
    """One capability by the rules that make it up. ``exempt`` are rules that cannot apply, ``todo`` what is missing."""

    capability: str
    done: int
    exempt: tuple[str, ...]
    todo: tuple[str, ...]

    @property
    def figure(self) -> str:
        """``done`` of what applies: ``3 of 4``, or ``none applies``."""
        whole = self.done + len(self.todo)
        return f"{self.done} of {whole}" if whole else "none applies"


class WriteEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Where writing one object twice is prevented. ``enforced`` is a sentence; lives and lags in seconds."""

    object: str
    destination_class: str
    natural_key: str
    key_life_s: int | None
    settles_after_s: int
    enforced: str


class ConnectorEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """One connector. ``retry`` and ``replay`` are sentences; ``proved`` pairs of level and what, strongest first."""

    name: str
    title: str
    category: str
    tier: str
    scores: tuple[CapabilityScore, ...]
    proved: tuple[tuple[str, str], ...]
    not_proved: tuple[str, ...]
    retry: tuple[str, ...]
    replay: tuple[str, ...]
    writes: tuple[WriteEvidence, ...]


class TraceSample(msgspec.Struct, frozen=True, kw_only=True):
    """One stored event and what became of it; ``writes`` pairs of record and state. Times are ISO 8601 in UTC."""

    connection: str
    seq: int
    event_type: str
    external_id: str
    occurred_at: str
    received_at: str
    state: str
    attempts: int
    repeated: int
    business_events: tuple[str, ...]
    writes: tuple[tuple[str, str], ...]
