"""The tables of the books: entries with their lines, what each event came to, bills, schedules, periods.

Days are text as in 2027-01-31, so that they sort; amounts are minor units. Names as in `schema.py`, which gives them
out with the others. Next: `books.py`.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, text

from accordant.store.schema_base import metadata

journal_entry = Table(
    "journal_entry",
    metadata,
    Column("id", Text, primary_key=True),
    Column("legal_entity", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("posted_on", Text, nullable=False),
    Column("effective_on", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("bill", Text),
    Column("root_id", Text, nullable=False),
    Column("reverses", Text),
    Column("charter", Text, nullable=False),
    Column("cause", BigInteger),
    Column("body", LargeBinary, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
)
Index("ix_journal_entry_posted", journal_entry.c.legal_entity, journal_entry.c.posted_on, journal_entry.c.id)
# With the subject, so that a system of which nothing is posted is not looked for in every entry.
Index("ix_journal_entry_day", journal_entry.c.posted_on.desc(), journal_entry.c.id, journal_entry.c.subject)
Index("ix_journal_entry_bill", journal_entry.c.bill)
Index("ix_journal_entry_event", journal_entry.c.event)
Index("ix_journal_entry_root", journal_entry.c.root_id)

journal_line = Table(
    "journal_line",
    metadata,
    Column("entry_id", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Column("legal_entity", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("posted_on", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("original_currency", Text),
    Column("original_minor", BigInteger),
    Column("role", Text),
    Column("party", Text),
    Column("product", Text),
    PrimaryKeyConstraint("entry_id", "line"),
)
Index(
    "ix_journal_line_account",
    journal_line.c.account,
    journal_line.c.posted_on.desc(),
    journal_line.c.entry_id,
    journal_line.c.legal_entity,
)
#: All that says what is owed and held in other currencies, so that only this has to be read for it.
_FOREIGN = "original_currency IS NOT NULL"
Index(
    "ix_journal_line_foreign",
    journal_line.c.legal_entity,
    journal_line.c.role,
    journal_line.c.original_currency,
    journal_line.c.party,
    journal_line.c.posted_on,
    journal_line.c.currency,
    journal_line.c.original_minor,
    journal_line.c.amount_minor,
    postgresql_where=text(_FOREIGN),
    sqlite_where=text(_FOREIGN),
)

#: What the lines of a month come to, counted on with each entry: nobody adds up a whole ledger to look at it. ``month``
#: is as in 2027-01, ``role`` empty for lines without one, ``rule`` that of the entry or of the one it cancels. ``part``
#: keeps writers from waiting for each other: a sum is that of all its parts.
period_balance = Table(
    "period_balance",
    metadata,
    Column("legal_entity", Text, nullable=False),
    Column("month", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("debit_minor", BigInteger, nullable=False),
    Column("credit_minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("legal_entity", "month", "account", "currency", "role", "rule", "part"),
)

posting = Table(
    "posting",
    metadata,
    Column("event", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("root_id", Text, nullable=False),
    Column("bill", Text),
    Column("happened_on", Text, nullable=False),
    Column("entry_id", Text),
    Column("asked", Text, nullable=False),
    Column("reasons", LargeBinary, nullable=False),
    Column("charter", Text, nullable=False),
    Column("cause", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
    Column("waits_for", Text),
)
Index("ix_posting_bill", posting.c.bill)
_HELD = "state = 'held'"
Index("ix_posting_held", posting.c.root_id, postgresql_where=text(_HELD), sqlite_where=text(_HELD))
_WAITS = "waits_for IS NOT NULL"
Index("ix_posting_waits_for", posting.c.waits_for, postgresql_where=text(_WAITS), sqlite_where=text(_WAITS))

ledger_bill = Table(
    "ledger_bill",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("legal_entity", Text, nullable=False),
    Column("root_id", Text, nullable=False),
    Column("party", Text),
    Column("number", Text),
    Column("currency", Text, nullable=False),
    Column("books_currency", Text, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("open_minor", BigInteger, nullable=False),
    Column("open_books_minor", BigInteger, nullable=False),
    Column("booked_on", Text, nullable=False),
    Column("due_on", Text, nullable=False),
    Column("entry_id", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
_OPEN = "state = 'open'"
Index(
    "ix_ledger_bill_open",
    ledger_bill.c.legal_entity,
    ledger_bill.c.due_on,
    ledger_bill.c.open_books_minor,
    postgresql_where=text(_OPEN),
    sqlite_where=text(_OPEN),
)
_LEFT = "open_books_minor <> 0"
Index(
    "ix_ledger_bill_left",
    ledger_bill.c.legal_entity,
    ledger_bill.c.open_books_minor,
    postgresql_where=text(_LEFT),
    sqlite_where=text(_LEFT),
)
Index("ix_ledger_bill_root", ledger_bill.c.root_id)

revenue_schedule = Table(
    "revenue_schedule",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("legal_entity", Text, nullable=False),
    Column("bill", Text, nullable=False),
    Column("product", Text),
    Column("currency", Text, nullable=False),
    Column("books_currency", Text, nullable=False),
    Column("booked_on", Text, nullable=False),
    Column("starts_on", Text, nullable=False),
    Column("ends_on", Text, nullable=False),
    Column("minor", BigInteger, nullable=False),
    Column("billed_minor", BigInteger, nullable=False),
    Column("booked_minor", BigInteger, nullable=False),
    Column("grain", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("spans", LargeBinary, nullable=False),
    Column("recognised_minor", BigInteger, nullable=False),
    Column("recognised_books_minor", BigInteger, nullable=False),
    Column("next_on", Text),
    Column("updated_at", BigInteger, nullable=False),
    Column("contract", Text),
    Column("caught_up_on", Text),
)
Index("ix_revenue_schedule_bill", revenue_schedule.c.bill)
_IN_CONTRACT = "contract IS NOT NULL"
Index(
    "ix_revenue_schedule_contract",
    revenue_schedule.c.contract,
    postgresql_where=text(_IN_CONTRACT),
    sqlite_where=text(_IN_CONTRACT),
)
_DUE = "next_on IS NOT NULL"
Index(
    "ix_revenue_schedule_next",
    revenue_schedule.c.legal_entity,
    revenue_schedule.c.next_on,
    postgresql_where=text(_DUE),
    sqlite_where=text(_DUE),
)

recognition = Table(
    "recognition",
    metadata,
    Column("schedule_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("month_on", Text, nullable=False),
    Column("minor", BigInteger, nullable=False),
    Column("books_minor", BigInteger, nullable=False),
    Column("entry_id", Text, nullable=False),
    PrimaryKeyConstraint("schedule_id", "version"),
)
Index("ix_recognition_entry", recognition.c.entry_id)

#: What was recognised in a month of what was billed in another, in the currency of the books; parts as above.
recognised_month = Table(
    "recognised_month",
    metadata,
    Column("legal_entity", Text, nullable=False),
    Column("booked_month", Text, nullable=False),
    Column("month", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("books_minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("legal_entity", "booked_month", "month", "part"),
)

accounting_period = Table(
    "accounting_period",
    metadata,
    Column("legal_entity", Text, nullable=False),
    Column("starts_on", Text, nullable=False),
    Column("ends_on", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("closed_by", Text),
    Column("reopen_asked_by", Text),
    Column("reopened_by", Text),
    Column("updated_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("legal_entity", "starts_on"),
)
