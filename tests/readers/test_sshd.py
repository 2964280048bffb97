"""What OpenSSH's lines mean, and that a hostile user name never changes it."""

from collections.abc import Sequence
from contextlib import suppress
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.check import format_time
from riskengine.errors import InvalidInput
from riskengine.event import Event
from riskengine.readers.log import Item, Skip
from riskengine.readers.sshd import Sshd

HEAD = "Mar  4 09:15:27 gate01 sshd[4021]: "
KEY = "SHA256:ZXhhbXBsZSBrZXkgb2YgbWlyYSwgbm90aGluZyBtb3I"


def parser() -> Sshd:
    return Sshd(ZoneInfo("UTC"), 2026)


def parse(line: str, ended: bool = True) -> Sequence[Item] | Skip:
    return parser().parse(line.encode(), ended)


def events(*lines: str) -> list[Event]:
    """Return the events of lines that one connection logged."""
    one = parser()
    found: list[Event] = []
    for line in lines:
        items = one.parse(line.encode(), True)
        if not isinstance(items, Skip):
            found += [item for item in items if isinstance(item, Event)]
    return found


def only(line: str) -> Event:
    (event,) = events(line)
    return event


def test_an_accepted_key_is_a_success_with_the_keys_fingerprint_as_device() -> None:
    event = only(HEAD + f"Accepted publickey for tove from 198.51.100.9 port 50122 ssh2: ED25519 {KEY}")

    assert (event.user_id, event.ip, event.outcome, event.device_id) == ("tove", "198.51.100.9", "success", KEY)
    assert event.resource == "ssh:gate01"
    assert event.context == {"method": "publickey"}
    assert event.user_agent is None
    assert event.login is None
    assert event.occurred_at is not None
    assert format_time(event.occurred_at) == "2026-03-04T09:15:27.000Z"


@pytest.mark.parametrize("daemon", ["sshd", "sshd-session", "sshd-auth"])
def test_every_name_of_the_daemon_is_known(daemon: str) -> None:
    line = f"Mar  4 09:15:27 gate01 {daemon}[1]: Accepted password for tove from 192.0.2.1 port 5 ssh2"

    assert only(line).user_id == "tove"


@pytest.mark.parametrize(
    ("head", "want"),
    [
        pytest.param("Mar  4 09:15:27 g sshd[1]: ", "2026-03-04T09:15:27.000Z", id="bsd"),
        pytest.param("<86>Mar  4 09:15:27 g sshd[1]: ", "2026-03-04T09:15:27.000Z", id="bsd_with_priority"),
        pytest.param("Mar 14 09:15:27.318 g sshd[1]: ", "2026-03-14T09:15:27.318Z", id="bsd_with_fraction"),
        pytest.param("2026-03-04T10:15:31.004+01:00 g sshd[1]: ", "2026-03-04T09:15:31.004Z", id="iso_offset"),
        pytest.param("2026-03-04T09:15:31.0041234Z g sshd[1]: ", "2026-03-04T09:15:31.004Z", id="seven_digits"),
        pytest.param("2026-03-04T18:45:31+0930 g sshd[1]: ", "2026-03-04T09:15:31.000Z", id="journal_offset"),
        pytest.param("2026-03-04T09:15:31 g sshd[1]: ", "2026-03-04T09:15:31.000Z", id="iso_without_zone"),
        pytest.param("<86>1 2026-03-04T09:15:31Z g sshd 1 - - ", "2026-03-04T09:15:31.000Z", id="rfc_5424"),
        pytest.param(
            '<86>1 2026-03-04T09:15:31Z g sshd-session 1 - [t@1 a="\\] x"][u@1] \ufeff',
            "2026-03-04T09:15:31.000Z",
            id="rfc_5424_with_data",
        ),
    ],
)
def test_every_syslog_prefix_gives_its_time(head: str, want: str) -> None:
    event = only(head + "Accepted password for tove from 192.0.2.1 port 5 ssh2")

    assert event.occurred_at is not None
    assert format_time(event.occurred_at) == want


def test_local_times_are_read_in_the_zone_given() -> None:
    (event,) = Sshd(ZoneInfo("America/New_York"), 2026).parse(
        b"Jul  4 09:15:27 g sshd[1]: Accepted password for tove from 192.0.2.1 port 5 ssh2", True
    )

    assert isinstance(event, Event)
    assert event.occurred_at is not None
    assert format_time(event.occurred_at) == "2026-07-04T13:15:27.000Z"


def test_a_failed_password_of_a_known_user_is_that_users_failure() -> None:
    event = only(HEAD + "Failed password for root from 2001:db8:40::7 port 50210 ssh2")

    assert (event.user_id, event.login, event.ip, event.outcome) == ("root", None, "2001:db8:40::7", "failure")


def test_an_invalid_user_is_a_failure_without_an_account() -> None:
    event = only(HEAD + "Failed password for invalid user backup2 from 192.0.2.1 port 50210 ssh2")

    assert (event.user_id, event.login, event.outcome) == (None, "backup2", "failure")


def test_an_invalid_user_and_its_first_failure_are_one_attempt() -> None:
    found = events(
        HEAD + "Invalid user pi from 192.0.2.1 port 5",
        HEAD + "Failed none for invalid user pi from 192.0.2.1 port 5 ssh2",
        HEAD + "Failed password for invalid user pi from 192.0.2.1 port 5 ssh2",
        HEAD + "Failed password for invalid user pi from 192.0.2.1 port 5 ssh2 [preauth]",
        HEAD + "message repeated 2 times: [ Failed password for invalid user pi from 192.0.2.1 port 5 ssh2]",
        HEAD
        + "error: maximum authentication attempts exceeded for invalid user pi from 192.0.2.1 port 5 ssh2 [preauth]",
    )

    assert [event.login for event in found] == ["pi"] * 4


def test_an_invalid_user_who_goes_away_has_still_tried() -> None:
    found = events(
        HEAD + "Invalid user pi from 192.0.2.1",
        HEAD + "Connection closed by invalid user pi 192.0.2.1 port 5 [preauth]",
    )

    assert len(found) == 1


def test_another_connections_failure_is_not_taken_for_the_announced_one() -> None:
    found = events(
        HEAD + "Invalid user pi from 192.0.2.1 port 5",
        HEAD.replace("4021", "4022") + "Failed password for invalid user pi from 192.0.2.1 port 6 ssh2",
    )

    assert len(found) == 2


def test_connections_that_never_end_do_not_pile_up() -> None:
    one = parser()
    for pid in range(5000):
        one.parse(f"Mar  4 09:15:27 g sshd[{pid}]: Invalid user pi from 192.0.2.1 port 5".encode(), True)

    assert len(one._announced) == 4096


def test_a_repeated_message_is_that_many_attempts_each_with_its_own_id() -> None:
    line = HEAD + "message repeated 5 times: [ Failed password for root from 192.0.2.1 port 5 ssh2]"

    assert len({event.event_id for event in events(line)}) == 5


@pytest.mark.parametrize("times", ["0", "10001", "999999999"])
def test_an_absurd_repetition_is_rejected(times: str) -> None:
    with pytest.raises(InvalidInput, match="repeated"):
        parse(HEAD + f"message repeated {times} times: [ Failed password for root from 192.0.2.1 port 5 ssh2]")


def test_too_many_attempts_count_where_no_failure_was_logged_and_only_there() -> None:
    exceeded = HEAD + "error: maximum authentication attempts exceeded for root from 192.0.2.1 port 5 ssh2 [preauth]"
    failed = HEAD + "Failed password for root from 192.0.2.1 port 5 ssh2"

    assert len(events(exceeded)) == 1
    assert len(events(failed, exceeded)) == 1
    assert len(events(failed, exceeded, failed)) == 2


@pytest.mark.parametrize("method", ["none", "publickey", "hostbased", "gssapi-with-mic"])
def test_what_a_client_only_offers_is_no_attempt(method: str) -> None:
    assert parse(HEAD + f"Failed {method} for tove from 192.0.2.1 port 5 ssh2: RSA {KEY}") is Skip.NOT_TRIED


@pytest.mark.parametrize(
    "message",
    [
        "Postponed publickey for tove from 192.0.2.1 port 5 ssh2 [preauth]",
        "Partial publickey for tove from 192.0.2.1 port 5 ssh2: RSA " + KEY,
        "Connection closed by authenticating user tove 192.0.2.1 port 5 [preauth]",
        "Connection from 192.0.2.1 port 5 on 192.0.2.2 port 22",
        "error: PAM: Authentication failure for illegal user tove from 192.0.2.1",
        "error: Accepted by nobody from 192.0.2.1",
        "Accepted certificate ID x from y",
        "Failed to allocate a channel from the pool",
        "input_userauth_request: invalid user tove from 192.0.2.1 [preauth]",
        "User tove from 192.0.2.1 not allowed because not listed in AllowUsers; Invalid user x",
    ],
)
def test_other_messages_of_sshd_are_no_logins(message: str) -> None:
    assert parse(HEAD + message) is Skip.NOT_A_LOGIN


@pytest.mark.parametrize(
    "line",
    [
        "Mar  4 09:15:27 gate01 sudo: tove : COMMAND=/x sshd[1]: Accepted password for a from 192.0.2.1 port 5 ssh2",
        "Mar  4 09:15:27 gate01 logger[7]: sshd[1]: Accepted password for a from 192.0.2.1 port 5 ssh2",
        "Mar  4 09:15:27 gate01 CRON[3340]: pam_unix(cron:session): session opened for user root",
    ],
)
def test_other_programs_cannot_speak_for_sshd(line: str) -> None:
    assert parse(line) is Skip.NOT_A_LOGIN


@pytest.mark.parametrize(
    ("typed", "login"),
    [
        pytest.param("x from 198.51.100.9 port 22", "x from 198.51.100.9 port 22", id="holds_an_address"),
        pytest.param("x from 198.51.100.9 port 22 ssh2", "x from 198.51.100.9 port 22 ssh2", id="ends_as_sshd_would"),
        pytest.param(
            "x from 198.51.100.9 port 22 ssh2: RSA SHA256:a", "x from 198.51.100.9 port 22 ssh2: RSA SHA256:a", id="key"
        ),
        pytest.param("for invalid user y", "for invalid user y", id="holds_the_fixed_words"),
        pytest.param("invalid user root", "invalid user root", id="pretends_to_be_invalid"),
        pytest.param("a b  c", "a b  c", id="blanks"),
        pytest.param("", None, id="empty"),
        pytest.param("   ", None, id="only_blanks"),
        pytest.param(r"caf\303\251", "café", id="escaped_utf8"),
        pytest.param(r"CORP\\mira", r"CORP\mira", id="escaped_backslash"),
        pytest.param(r"a\nMar  4 09:15:27 g sshd[1]: x", r"a\nMar  4 09:15:27 g sshd[1]: x", id="escaped_newline"),
        pytest.param(r"\377\376", r"\377\376", id="escaped_bytes_that_are_no_text"),
        pytest.param(r"€\303", r"€\303", id="escapes_beside_what_needs_none"),
        pytest.param("n" * 900, "n" * 256, id="too_long"),
        pytest.param("-oProxyCommand=$(x)", "-oProxyCommand=$(x)", id="shell"),
    ],
)
def test_a_hostile_name_stays_a_name(typed: str, login: str | None) -> None:
    for line in (
        HEAD + f"Failed password for invalid user {typed} from 203.0.113.5 port 4000 ssh2",
        HEAD + f"Invalid user {typed} from 203.0.113.5 port 4000",
        HEAD + f"Invalid user {typed} from 203.0.113.5",
    ):
        event = only(line)
        assert (event.user_id, event.login, event.ip) == (None, login, "203.0.113.5")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_no_name_changes_the_address(typed: str) -> None:
    event = only(HEAD + f"Failed password for invalid user {typed} from 203.0.113.5 port 4000 ssh2")

    assert event.ip == "203.0.113.5"
    assert event.user_id is None


def test_text_in_a_certificate_does_not_change_the_address() -> None:
    event = only(
        HEAD + f"Accepted publickey for tove from 192.0.2.1 port 5 ssh2: ED25519-CERT {KEY} "
        "ID x from 198.51.100.9 port 6 ssh2: y (serial 1) CA ED25519 SHA256:other"
    )

    assert (event.user_id, event.ip, event.device_id) == ("tove", "192.0.2.1", KEY)


@pytest.mark.parametrize(
    ("more", "device"),
    [
        pytest.param(": RSA 00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff", "00:11:22:33:44", id="old_md5"),
        pytest.param(": RSA MD5:00:11:22", "MD5:00:11:22", id="md5"),
        pytest.param(": RSA-CERT ID x (serial 0) CA RSA SHA256:ca", None, id="only_the_authoritys_key"),
        pytest.param(": mira@EXAMPLE.ORG", None, id="kerberos"),
        pytest.param("", None, id="none"),
    ],
)
def test_the_device_is_the_users_own_key_or_unknown(more: str, device: str | None) -> None:
    event = only(HEAD + f"Accepted publickey for tove from 192.0.2.1 port 5 ssh2{more}")

    assert (event.device_id or "")[: len(device or "")] == (device or "")
    assert (event.device_id is None) == (device is None)


@pytest.mark.parametrize(
    ("written", "ip"),
    [
        pytest.param("fe80::1%eth0", "fe80::1", id="zone"),
        pytest.param("::ffff:192.0.2.1", "192.0.2.1", id="mapped"),
        pytest.param("[2001:db8::1]", "2001:db8::1", id="brackets"),
        pytest.param("2001:0DB8::0001", "2001:db8::1", id="one_spelling"),
    ],
)
def test_addresses_have_one_spelling(written: str, ip: str) -> None:
    assert only(HEAD + f"Accepted password for tove from {written} port 5 ssh2").ip == ip


@pytest.mark.parametrize("host", ["UNKNOWN", "host.example.org", "999.0.2.1"])
def test_a_line_without_an_address_is_rejected(host: str) -> None:
    with pytest.raises(InvalidInput, match="/ip must be") as caught:
        parse(HEAD + f"Accepted password for tove from {host} port 5 ssh2")
    assert host not in str(caught.value)


@pytest.mark.parametrize(
    "message",
    [
        "Accepted password for tove from 192.0.2.1 port 501",
        "Accepted password for tove from 192.0.2",
        "Failed password for tove from 192.0.2.1 port 5 ss",
        "message repeated 5 times: [ Failed password for root from 192.0.2.1 port 5",
    ],
)
def test_a_login_that_is_cut_off_is_rejected(message: str) -> None:
    with pytest.raises(InvalidInput, match="cut off"):
        parse(HEAD + message)


@pytest.mark.parametrize(
    "message",
    [
        f"Accepted publickey for tove from 192.0.2.1 port 5 ssh2: ED25519 {KEY[:30]}",
        "Accepted publickey for tove from 192.0.2.1 port 5 ssh2",
        "Invalid user tove from 192.0.2.1",
    ],
)
def test_a_last_line_that_may_have_lost_its_end_is_rejected(message: str) -> None:
    with pytest.raises(InvalidInput, match="may be cut off"):
        parse(HEAD + message, ended=False)


@pytest.mark.parametrize(
    "message",
    [
        f"Accepted publickey for tove from 192.0.2.1 port 5 ssh2: ED25519 {KEY}",
        "Failed password for tove from 192.0.2.1 port 5 ssh2",
    ],
)
def test_a_last_line_that_is_provably_whole_is_taken(message: str) -> None:
    assert not isinstance(parse(HEAD + message, ended=False), Skip)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param("Feb 30 09:15:27 g sshd[1]: ", "does not exist in 2026", id="30_february"),
        pytest.param("Feb 29 09:15:27 g sshd[1]: ", "does not exist in 2026", id="29_february"),
        pytest.param("Foo  4 09:15:27 g sshd[1]: ", "does not exist in 2026", id="no_month"),
        pytest.param("Mar  4 25:15:27 g sshd[1]: ", "does not exist in 2026", id="hour_25"),
        pytest.param("Mar  4 09:15:61 g sshd[1]: ", "does not exist in 2026", id="second_61"),
        pytest.param("2026-02-30T09:15:27Z g sshd[1]: ", "cannot be read", id="iso_30_february"),
        pytest.param("<86>1 - g sshd 1 - - ", "cannot be read", id="rfc_5424_without_time"),
        pytest.param("27 gate01 sshd[1]: ", "does not begin with a time", id="torn_start"),
        pytest.param("sshd[1]: ", "does not begin with a time", id="no_prefix"),
    ],
)
def test_a_login_without_a_time_is_rejected(line: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        parse(line + "Accepted password for tove from 192.0.2.1 port 5 ssh2")


def test_a_time_before_1970_is_rejected() -> None:
    with pytest.raises(InvalidInput, match="before 1970"):
        Sshd(ZoneInfo("UTC"), 1969).parse(
            b"Mar  4 09:15:27 g sshd[1]: Accepted password for tove from 192.0.2.1 port 5 ssh2", True
        )


def test_a_login_that_is_not_utf8_is_rejected() -> None:
    with pytest.raises(InvalidInput, match="not UTF-8"):
        parser().parse(HEAD.encode() + b"Accepted password for caf\xe9 from 192.0.2.1 port 5 ssh2", True)


def test_a_control_character_in_a_name_is_rejected_without_repeating_the_name() -> None:
    with pytest.raises(InvalidInput, match="control character") as caught:
        parse(HEAD + "Failed password for to\x1bve from 192.0.2.1 port 5 ssh2")
    assert "ve" not in str(caught.value).replace("/user_id", "")


def test_an_accepted_login_of_nobody_is_rejected() -> None:
    with pytest.raises(InvalidInput, match="names no user"):
        parse(HEAD + "Accepted password for  from 192.0.2.1 port 5 ssh2")


def test_a_leap_second_is_a_time() -> None:
    event = only("Dec 31 23:59:60 g sshd[1]: Accepted password for tove from 192.0.2.1 port 5 ssh2")

    assert event.occurred_at is not None
    assert format_time(event.occurred_at) == "2027-01-01T00:00:00.000Z"


@given(st.sampled_from([HEAD, "", "Mar  4 "]), st.binary(max_size=60), st.booleans())
def test_no_bytes_do_worse_than_be_rejected(head: str, message: bytes, ended: bool) -> None:
    for words in (b"", b"Accepted x for ", b"Failed x for ", b"Invalid user ", b"message repeated 2 times: [ Failed "):
        with suppress(InvalidInput):
            parser().parse(head.encode() + words + message + b" from 192.0.2.1 port 5 ssh2", ended)


@pytest.mark.parametrize("piece", [" from ", " from x port 1 ssh2", " from x port 1 ssh2: ", "\\", "a", "["])
@pytest.mark.parametrize(
    "words",
    ["Accepted x for ", "Failed x for ", "Invalid user ", "error: maximum authentication attempts exceeded for "],
)
def test_a_huge_hostile_line_costs_no_more_than_its_length(words: str, piece: str) -> None:
    line = (HEAD + words + piece * (200_000 // len(piece)) + "!").encode()
    began = process_time()

    with pytest.raises(InvalidInput):
        parser().parse(line + b" from ", True)
    assert process_time() - began < 1
