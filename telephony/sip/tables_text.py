"""The state tables and refusals as the text of ``docs/reference/sip.md``. Pure; a test compares page and code."""

from __future__ import annotations

from telephony.sip.dialog_table import DIALOG_TABLE
from telephony.sip.responses import ALLOW, NOT_ALLOWED
from telephony.sip.transaction_tables import TABLES, TIMERS, Kind

_TITLES = {
    Kind.INVITE_SERVER: "INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 §7.1)",
    Kind.SERVER: "Non-INVITE server transaction (RFC 3261 §17.2.2)",
    Kind.INVITE_CLIENT: "INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2)",
    Kind.CLIENT: "Non-INVITE client transaction (RFC 3261 §17.1.2)",
}


def page() -> str:
    """Markdown of all tables."""
    parts = [
        "# SIP: state tables",
        "",
        "Printed from `telephony/sip/transaction_tables.py` and `telephony/sip/dialog_table.py`; a test compares them.",
        "A pair that is not listed changes nothing. `rx` came from the wire, `tu` from the core above; a capital",
        "letter is an expired timer.",
        "",
        f"Methods taken: {', '.join(ALLOW)}. Answered 405: {', '.join(sorted(NOT_ALLOWED))}. All others: 501.",
        "",
    ]
    for kind, title in _TITLES.items():
        parts += [f"## {title}", "", *_transaction(kind), ""]
    parts += ["## Timers", "", *_timers(), "", "## Dialog (RFC 3261 §12, §15)", "", *_dialog()]
    return "\n".join(parts) + "\n"


def _transaction(kind: Kind) -> list[str]:
    rows = ["| state | input | next | does | starts |", "|---|---|---|---|---|"]
    for (state, event), row in TABLES[kind].items():
        following = "same" if row.next is state else row.next.value
        does = ", ".join(action.value for action in row.do) or "none"
        starts = ", ".join(timer.value for timer in row.start) or "none"
        rows.append(f"| {state.value} | {event.value} | {following} | {does} | {starts} |")
    return rows


def _timers() -> list[str]:
    rows = ["| timer | UDP, s | reliable, s | doubles up to, s |", "|---|---|---|---|"]
    for event, timer in TIMERS.items():
        reliable = "never" if timer.reliable_s is None else f"{timer.reliable_s:g}"
        cap = "once" if timer.cap_s is None else f"{timer.cap_s:g}"
        rows.append(f"| {event.value} | {timer.udp_s:g} | {reliable} | {cap} |")
    return rows


def _dialog() -> list[str]:
    rows = ["| state | input | next |", "|---|---|---|"]
    return rows + [f"| {state.value} | {event.value} | {end.value} |" for (state, event), end in DIALOG_TABLE.items()]
