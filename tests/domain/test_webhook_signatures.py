"""Signatures of callbacks: what is signed is verified, and nothing else is."""

import pytest

from orchestrator.domain.webhook_signatures import new_secret, signed_headers, verified

NOW = 1_800_000_000
OLD, NEW = new_secret(), new_secret()
BODY = b'{"type":"batch.completed"}'
SIGNED = signed_headers([NEW, OLD], "task-1", NOW, BODY)


@pytest.mark.parametrize("keys", [[NEW], [OLD], [new_secret(), OLD]])
@pytest.mark.parametrize("now", [NOW, NOW + 300, NOW - 300])
def test_a_request_is_verified_by_each_secret_that_signed_it(keys: list[str], now: int) -> None:
    assert verified(keys, SIGNED, BODY, now)


def test_an_example_of_the_specification_is_verified() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    body = b'{"test": 2432232314}'
    assert verified(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], headers, body, 1_614_265_330)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "task-2"},
        {"webhook-timestamp": str(NOW + 1)},
        {"webhook-timestamp": "x"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v2," + SIGNED["webhook-signature"].split()[0].partition(",")[2]},
        {"webhook-signature": "é " * 100},
    ],
)
def test_a_request_with_anything_changed_is_not_verified(change: dict[str, str]) -> None:
    assert not verified([NEW, OLD], {**SIGNED, **change}, BODY, NOW)


def test_another_body_another_secret_or_an_old_request_is_not_verified() -> None:
    assert not verified([NEW], SIGNED, BODY + b" ", NOW)
    assert not verified([new_secret()], SIGNED, BODY, NOW)
    assert not verified([NEW], SIGNED, BODY, NOW + 301)
    assert not verified([NEW], {}, BODY, NOW)
