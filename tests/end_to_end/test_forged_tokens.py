"""Every attack of the tables on a process as it runs in production, with its limit of failed credentials."""

import time
from pathlib import Path

from tests.end_to_end.stack import open_stack
from tests.middleware.test_jwks_attacks import ATTACKS as KEY_SET_ATTACKS
from tests.middleware.test_jwks_attacks import GOOD, perform
from tests.middleware.test_token_attacks import ATTACKS as TOKEN_ATTACKS
from tests.middleware.test_token_attacks import KIDS, LIST
from tests.support.identity_provider import public, running, token


async def test_no_attack_opens_a_process_or_makes_it_fail_and_who_was_there_goes_on(tmp_path: Path) -> None:
    async with running() as (provider, _), open_stack(tmp_path) as stack:
        keys = [public(algorithm, kid) for algorithm, kid in KIDS.items()]
        provider.publish(*keys)
        await stack.start(jwt__jwks_url=provider.url)
        async with (
            stack.client(token("RS256", "rsa", exp=time.time() + 3600)) as known,
            stack.client("none") as stranger,
        ):
            first = await known.get(LIST)
            assert first.status_code == 200, first.text
            statuses: dict[str, int] = {}

            async def attack(name: str, forged: str) -> None:
                headers = {b"Authorization": f"Bearer {forged}".encode()}
                statuses[name] = (await stranger.get(LIST, headers=headers)).status_code

            for name, make in TOKEN_ATTACKS.items():
                await attack(name, make())
            for name, odd in KEY_SET_ATTACKS.items():
                perform(provider, odd)
                await attack(f"key set: {name}", odd.token())
            provider.publish(GOOD, *keys)
            assert {name: status for name, status in statuses.items() if status not in {401, 429}} == {}
            assert set(statuses.values()) == {401, 429}
            assert len(statuses) == len(TOKEN_ATTACKS) + len(KEY_SET_ATTACKS)
            assert (await known.get(LIST)).status_code == 200
            waits = await stranger.get(LIST, headers={"Authorization": f"Bearer {token('RS256', 'rsa', sub='bob')}"})
            assert (waits.status_code, 0 < int(waits.headers["Retry-After"]) <= 60) == (429, True)
            assert (await known.get("/health/ready")).status_code == 200
