"""The console as one application: every page, guarded and sealed."""

from litestar import Litestar
from litestar.di import Provide

from accordant.web.console import (
    actions,
    book_pages,
    charter_pages,
    commission_pages,
    comparison_pages,
    conflict_pages,
    entrance,
    flag_pages,
    incident_pages,
    money_pages,
    opening_pages,
    pages,
    phase_pages,
    rehearsal_pages,
    replay_pages,
    review_pages,
    saga_pages,
    settle_pages,
    table_pages,
)
from accordant.web.console.frame import Console, ConsoleHub

FORM_BYTES_MAX = 64 * 1024


def console_application(hub: ConsoleHub) -> Litestar:
    """Every page of the console of one hub. The application, not a router: a router is copied with all it refers to."""
    console = Console(hub)
    return Litestar(
        route_handlers=[
            pages.overview_page,
            pages.live_feed,
            pages.event_page,
            pages.customers_page,
            pages.customer_page,
            pages.shadow_page,
            pages.why_page,
            pages.search_page,
            actions.trouble_page,
            actions.confirm_retry,
            actions.retry,
            *settle_pages.HANDLERS,
            *opening_pages.HANDLERS,
            actions.confirm_pause,
            actions.pause,
            actions.confirm_resume,
            actions.resume,
            conflict_pages.conflicts_page,
            conflict_pages.conflict_page,
            conflict_pages.decide_conflict,
            review_pages.review_page,
            review_pages.review_case_page,
            review_pages.decide_review,
            rehearsal_pages.rehearsals_page,
            rehearsal_pages.rehearsal_page,
            rehearsal_pages.order_rehearsal,
            rehearsal_pages.stop_rehearsal,
            phase_pages.phases_page,
            phase_pages.flow_page,
            phase_pages.act,
            *(replay_pages.replay_page, replay_pages.order_replay),
            *(flag_pages.flag_page, flag_pages.decide_flag),
            incident_pages.incident_page,
            incident_pages.past_incident_page,
            incident_pages.act_on_incident,
            *saga_pages.PAGES,
            *book_pages.PAGES,
            *money_pages.PAGES,
            *commission_pages.PAGES,
            *table_pages.PAGES,
            *comparison_pages.PAGES,
            charter_pages.charter_page,
            charter_pages.artifact_page,
            entrance.static_file,
            entrance.sign_in_page,
            entrance.sign_in,
            entrance.sign_out,
        ],
        dependencies={"console": Provide(lambda: console, sync_to_thread=False, use_cache=True)},
        before_request=console.admit,
        before_send=[console.seal],
        exception_handlers={Exception: console.answer_problem},
        openapi_config=None,
        request_max_body_size=FORM_BYTES_MAX,
    )
