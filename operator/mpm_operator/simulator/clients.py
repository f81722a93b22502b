"""Clients that keep their connections: a connection stays with its pod, whatever the balancer would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mpm_operator.core.effective import Effective

    from .pod import Pod


class Clients:
    """A number of clients with at most one connection each; every request belongs to any one of them.

    Requests of one client do not wait for one another, as if it opened a second connection for them.
    """

    def __init__(
        self, count: int, effective: Effective, uniform: Callable[[], float], choose: Callable[[], Pod | None]
    ) -> None:
        self._pods: list[Pod | None] = [None] * count
        self._used = [0.0] * count
        self._served = [0] * count
        self._settings = effective
        self._uniform = uniform
        self._choose = choose

    def __len__(self) -> int:
        return len(self._pods)

    def route(self, now: float) -> Pod | None:
        """Return the pod that the next request goes to; a client without a connection opens one."""
        client = int(self._uniform() * len(self._pods))
        pod = self._pods[client]
        if pod is not None and self._is_over(client, pod, now):
            self._release(client, pod)
            pod = None
        if pod is None:
            pod = self._choose()
            if pod is None:
                return None
            self._pods[client] = pod
            self._served[client] = 0
            pod.connections += 1
        self._used[client] = now
        self._served[client] += 1
        if pod.queue or not pod.accepts or not self._settings.keep_alive:
            self._release(client, pod)  # this response says `Connection: close`
        return pod

    def let_go_of_idle(self, pod: Pod, now: float) -> None:
        """Close connections past their time, and every idle one while requests wait (httpd event's rule)."""
        limit = 0.0 if pod.queue else self._settings.keep_alive_timeout_seconds
        for client, kept in enumerate(self._pods):
            if kept is pod and now - self._used[client] > limit:
                self._release(client, pod)

    def let_go(self, pod: Pod, share: float) -> None:
        """Close `share` of the connections to `pod`."""
        for client, kept in enumerate(self._pods):
            if kept is pod and self._uniform() < share:
                self._release(client, pod)

    def _is_over(self, client: int, pod: Pod, now: float) -> bool:
        most = self._settings.max_keep_alive_requests
        return (
            pod.ended_at is not None
            or now - self._used[client] > self._settings.keep_alive_timeout_seconds
            or 0 < most <= self._served[client]
        )

    def _release(self, client: int, pod: Pod) -> None:
        pod.connections -= 1
        self._pods[client] = None
