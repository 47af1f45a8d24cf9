"""The judge of what stands below an account: invoices, payments and refunds, counted anew from what billing says.

As `recount.py`, written without the product's own code: only its answers are compared. Next: `report.py`.
"""

from accordant.demo.recount import Books, Object, Shown, amount_of, day_of

_INVOICE_WORDS = {"open": "Open", "paid": "Paid", "void": "Void", "uncollectible": "Uncollectible"}
_PAYMENT_WORDS = {"pending": "Pending", "succeeded": "Succeeded", "failed": "Failed"}


def issued(books: Books) -> list[Object]:
    """The invoices a CRM is told of: a draft is no bill yet."""
    return [one for one in books.invoices if one["status"] != "draft"]


def invoice_fields(one: Object) -> dict[str, Shown]:
    """Every field of one invoice's record; the account is named by the billing system's customer id."""
    currency, moments = one["currency"], one["status_transitions"]
    return {
        "Account__c": one["customer"],
        "Number__c": one["number"],
        "Status__c": _INVOICE_WORDS[one["status"]],
        "Total__c": amount_of(one["total"], currency),
        "Paid__c": amount_of(one["amount_paid"], currency),
        "Open__c": amount_of(one["amount_remaining"], currency),
        "Currency__c": currency.upper(),
        "Issued__c": day_of(moments["finalized_at"] or one["created"]),
        "Due__c": day_of(one["due_date"]) if one["due_date"] else None,
        "Paid_On__c": day_of(moments["paid_at"]) if moments["paid_at"] else None,
        "Subscription_Id__c": one["subscription"],
        "Line_Count__c": len(one["lines"]["data"]),
        "Lines__c": "\n".join(_line(line, currency) for line in one["lines"]["data"]),
    }


def _line(line: Object, currency: str) -> str:
    start, end = day_of(line["period"]["start"]), day_of(line["period"]["end"])
    period = f" ({start} to {end})" if start != end else ""
    return f"{line['description']}{period}: {_said(line['amount'], currency)}"


def payment_fields(one: Object) -> dict[str, Shown]:
    """Every field of one charge's record."""
    card = one["payment_method_details"]["card"]
    return {
        "Account__c": one["customer"],
        "Status__c": _PAYMENT_WORDS[one["status"]],
        "Amount__c": amount_of(one["amount"], one["currency"]),
        "Refunded__c": amount_of(one["amount_refunded"], one["currency"]),
        "Currency__c": one["currency"].upper(),
        "Collected__c": day_of(one["created"]),
        "Method__c": f"{card['brand']} ending in {card['last4']}",
        "Failure__c": one["failure_code"],
        "Disputed__c": one["disputed"],
        "Invoice_Id__c": one["invoice"],
    }


def payment_activity(one: Object) -> dict[str, Shown]:
    """The task of one charge."""
    failed = one["status"] == "failed"
    why = f" failed ({one['failure_code']})" if failed and one["failure_code"] else " failed" if failed else ""
    return {
        "WhatId": one["customer"],
        "Subject": f"Payment of {_said(one['amount'], one['currency'])}{why}",
        "Status": "Completed",
        "ActivityDate": day_of(one["created"]),
    }


def refund_activity(books: Books, one: Object) -> dict[str, Shown]:
    """The task of one refund, which names no customer but its charge."""
    return {
        "WhatId": customer_refunded(books, one),
        "Subject": f"Refund of {_said(one['amount'], one['currency'])}",
        "Status": "Completed",
        "ActivityDate": day_of(one["created"]),
    }


def customer_refunded(books: Books, one: Object) -> str:
    """Whose charge was refunded."""
    return next(str(charge["customer"]) for charge in books.charges if charge["id"] == one["charge"])


def _said(minor: int, currency: str) -> str:
    return f"{amount_of(minor, currency):,} {currency.upper()}"
