"""How each kind of receiver is told.

Nothing but the hosts that the rules name is ever contacted: no proxy of the environment is used, and no redirection
followed.
"""

from __future__ import annotations

import http.client
import importlib
import json
import logging
import smtplib
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from .errors import DeliveryError
from .notification import time
from .rules import Receiver
from .secret import secret_of
from .words import text, title

LOG: Final = logging.getLogger("spanledger.alerts")
_AGAIN: Final = frozenset({408, 425, 429})
"""Refusals of HTTP that may be none later."""
_HOLDS: Final = timedelta(days=32)
"""How long Alertmanager believes in a firing alert: a month of a budget; what is over is told."""
_SHOWN: Final = 200

Payload = Mapping[str, Any]


def send(receiver: Receiver, payload: Payload, key: str) -> str:
    """Tell a receiver, and return what it said; `key` is the same however often this is sent.

    Raises:
        DeliveryError: it didn't arrive.
    """
    return _SENDERS[receiver.kind](receiver, payload, key)


def address_of(receiver: Receiver) -> str:
    """Return where a receiver is, for people; without what may be secret of it."""
    if "url" in receiver.options:
        return str(urlsplit(receiver.options["url"]).hostname)
    return str(receiver.options.get("host", "")) or receiver.kind


def _log(receiver: Receiver, payload: Payload, key: str) -> str:
    LOG.warning("%s: %s", title(payload), text(payload).replace("\n", "; "))
    return "written to the log"


def _webhook(receiver: Receiver, payload: Payload, key: str) -> str:
    return _post(receiver, json.dumps(payload), key)


def _alertmanager(receiver: Receiver, payload: Payload, key: str) -> str:
    """POST to Alertmanager's own API (`/api/v2/alerts`), which then groups and routes by its own rules."""
    holds = time(datetime.now(UTC) + _HOLDS)
    alerts = [
        {
            "labels": alert["labels"],
            "annotations": alert["annotations"],
            "startsAt": alert["startsAt"],
            "endsAt": alert["endsAt"] if alert["status"] == "resolved" else holds,
            "generatorURL": alert["generatorURL"],
        }
        for alert in payload["alerts"]
    ]
    return _post(receiver, json.dumps(alerts), key)


def _post(receiver: Receiver, body: str, key: str) -> str:
    parts = urlsplit(receiver.options["url"])
    headers = {"Content-Type": "application/json", "User-Agent": "spanledger", "Idempotency-Key": key}
    if token := secret_of(receiver.options):
        headers["Authorization"] = f"Bearer {token}"
    headers |= receiver.options["headers"]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=receiver.timeout_s)
    try:
        connection.request("POST", path, body.encode(), headers)
        response = connection.getresponse()
        said = response.read(_SHOWN).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DeliveryError(f"{parts.hostname} can't be reached: {_why(error)}") from None
    finally:
        connection.close()
    if 200 <= response.status < 300:
        return f"{response.status} {response.reason}"
    for_good = response.status < 500 and response.status not in _AGAIN
    raise DeliveryError(f"{parts.hostname} answered {response.status} {response.reason}: {said}", for_good=for_good)


def _email(receiver: Receiver, payload: Payload, key: str) -> str:
    options = receiver.options
    message = _message(options, payload, key)
    password = secret_of(options)
    try:
        with _mail_server(receiver) as server:
            if password is not None:
                server.login(options["user"], password)
            refused = server.send_message(message)
    except smtplib.SMTPAuthenticationError as error:
        raise DeliveryError(f"{options['host']} refuses the user {options['user']} ({error.smtp_code})") from None
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryError(f"{options['host']} didn't take the mail: {_why(error)}") from None
    return f"taken by {options['host']}" + (f", but not for {', '.join(refused)}" if refused else "")


def _mail_server(receiver: Receiver) -> smtplib.SMTP:
    options = receiver.options
    if options["tls"] == "ssl":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(options["host"], options["port"], timeout=receiver.timeout_s, context=context)
    server = smtplib.SMTP(options["host"], options["port"], timeout=receiver.timeout_s)
    if options["tls"] == "starttls":
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server


def _message(options: Mapping[str, Any], payload: Payload, key: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = " ".join(title(payload).split())
    message["From"], message["To"] = options["from"], ", ".join(options["to"])
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{key}@spanledger>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text(payload) + "\n")
    return message


def _apprise(receiver: Receiver, payload: Payload, key: str) -> str:
    try:
        apprise: Any = importlib.import_module("apprise")
    except ModuleNotFoundError:
        advice = "apprise is not installed here; install it with: pip install 'spanledger[notify]'"
        raise DeliveryError(advice) from None
    logging.getLogger("apprise").disabled = True  # it would name addresses, and what is secret in them
    told = apprise.Apprise()
    urls = [*receiver.options["urls"], *(secret_of(receiver.options) or "").split()]
    for number, url in enumerate(urls, 1):
        if not told.add(url):
            raise DeliveryError(f"apprise knows nothing like the {number}. address of {receiver.name}", for_good=True)
    kind = apprise.NotifyType.WARNING if payload["status"] == "firing" else apprise.NotifyType.SUCCESS
    if not told.notify(body=text(payload), title=title(payload), notify_type=kind):
        raise DeliveryError(f"not all addresses of {receiver.name} took it")
    return f"sent to {len(urls)} address{'' if len(urls) == 1 else 'es'}"


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


_SENDERS: Final[Mapping[str, Callable[[Receiver, Payload, str], str]]] = {
    "log": _log,
    "webhook": _webhook,
    "alertmanager": _alertmanager,
    "email": _email,
    "apprise": _apprise,
}
