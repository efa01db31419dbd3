"""What a campaign does, for Prometheus: on request, at a port of this machine.

Needs the package ``prometheus-client`` (``pip install solvus[metrics]``). Read from the same snapshot that a person
watches, so that the two cannot disagree.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from solvus.agent.outcomes import best_of, distance_of, outcome_of
from solvus.agent.snapshot import Snapshot

HOST = "127.0.0.1"
DEVICE_STATES = ("ready", "busy", "init", "fault", "lost", "not heard")
CAMPAIGN_STATES = ("starting", "running", "waiting", "stopped", "found", "exhausted")


class MetricsUnavailable(ValueError):  # noqa: N818 -- a state of affairs, told in one sentence
    """Metrics were asked for and cannot be served. One sentence."""


class Metrics:
    """Serves from the moment it is made until :meth:`close`.

    Parameters
    ----------
    port : 0 takes a free one, which :attr:`port` then names.

    Raises
    ------
    MetricsUnavailable
        Without the package, or when the port is taken.
    """

    def __init__(self, port: int) -> None:
        try:
            from prometheus_client import CollectorRegistry, Gauge, start_http_server
        except ImportError as error:
            raise MetricsUnavailable(
                "--metrics-port: the package prometheus-client serves them; `pip install solvus[metrics]`"
            ) from error
        self._registry = CollectorRegistry()

        def gauge(name: str, what: str, *labels: str) -> Any:
            return Gauge(f"solvus_{name}", what, ("campaign", *labels), registry=self._registry)

        self._state = gauge("campaign_state", "1 for the state the campaign is in.", "state")
        self._budget = gauge("budget_experiments", "Experiments that the budget allows.")
        self._experiments = gauge("experiments", "Experiments by outcome.", "outcome")
        self._device = gauge("device_state", "1 for the state a device is in.", "device", "state")
        self._best = gauge(
            "best_distance_tolerances", "Distance of the nearest sample to the target, in tolerances."
        )
        self._asks = gauge("questions_open", "Experiments that wait for a person.")
        self._paused = gauge("paused", "1 while a person or the agent holds the campaign up.")
        self._turn = gauge("last_turn_seconds", "When the agent last looked around, seconds since 1970.")
        try:
            self._server, self._thread = start_http_server(port, addr=HOST, registry=self._registry)
        except OSError as error:
            raise MetricsUnavailable(
                f"--metrics-port: {port} on {HOST} cannot be used ({(error.strerror or str(error)).lower()})"
            ) from error
        self.port: int = self._server.server_port

    def show(self, snapshot: Snapshot) -> None:
        """Take over a snapshot."""
        campaign = snapshot.campaign
        for state in CAMPAIGN_STATES:
            self._state.labels(campaign, state).set(state == snapshot.state)
        self._budget.labels(campaign).set(snapshot.budget)
        for outcome, count in Counter(outcome_of(e).value for e in snapshot.experiments).items():
            self._experiments.labels(campaign, outcome).set(count)
        for device, word in snapshot.devices.items():
            for state in DEVICE_STATES:
                self._device.labels(campaign, device, state).set(state == word)
        best = best_of(snapshot.experiments)
        distance = None if best is None else distance_of(best)
        if distance is not None:
            self._best.labels(campaign).set(distance)
        self._asks.labels(campaign).set(sum(e.asks for e in snapshot.experiments))
        self._paused.labels(campaign).set(snapshot.paused)
        self._turn.labels(campaign).set_to_current_time()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
