"""A supervisor can tell whether the process lives and whether it can serve; nothing personal is counted."""

from pathlib import Path

from tests.api.conftest import NEW_YORK, Service, running, settings_for
from tests.fixtures_geo import World


def test_a_served_process_lives_and_is_ready(service: Service) -> None:
    assert service.client.get("/healthz").json() == {"status": "ok"}
    assert service.client.get("/readyz").json() == {"status": "ready"}


def test_a_process_that_is_stopping_lives_but_is_not_ready(tmp_path: Path, world: World) -> None:
    with running(settings_for(tmp_path, world)) as service:
        service.app.state.draining = True

        answer = service.client.get("/readyz")

        assert service.client.get("/healthz").status_code == 200
        assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")
        assert answer.json()["reasons"] == ["stopping"]


def test_requests_are_counted_by_route_and_never_by_what_stands_in_the_path(service: Service, user: str) -> None:
    service.post("/score", {"user_id": user, "ip": NEW_YORK})
    service.get("/events/some-event-id")
    service.client.get("/no/such/path")

    text = service.client.get("/metrics").text

    assert 'riskengine_requests_total{route="/events/{event_id}",status="404"}' in text
    assert 'riskengine_requests_total{route="none",status="404"}' in text
    assert 'riskengine_decisions_total{decision="allow",source="engine"}' in text
    for personal in (user, NEW_YORK, "some-event-id", "/no/such"):
        assert personal not in text


def test_metrics_are_in_the_format_of_prometheus(service: Service) -> None:
    assert service.client.get("/metrics").headers["content-type"].startswith("text/plain")
