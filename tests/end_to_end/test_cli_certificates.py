"""The command line at a listener of internal routes that asks for client certificates."""

import json
from pathlib import Path

from tests.cli.runs import run_cli
from tests.end_to_end.test_internal_listener import Served, serving
from tests.support.certificates import Authority
from tests.support.credentials import ADMIN_KEY
from tests.support.forked import Ended


async def ask(served: Served, home: Path, *arguments: str, **environ: str) -> Ended:
    return await run_cli(home, *arguments, ORCH_API_URL=served.internal, ORCH_API_KEY=ADMIN_KEY, **environ)


async def test_a_command_shows_its_certificate_and_trusts_the_authority_that_is_named(
    redis_url: str, tmp_path: Path
) -> None:
    async with serving(redis_url, tmp_path) as served:
        certificate, key = served.authority.sign("ops")
        files = {"ca-cert": served.authority.file, "client-cert": certificate, "client-key": key}
        by_option = [part for name, file in files.items() for part in (f"--{name}", str(file))]
        by_variable = {f"ORCH_{name.upper().replace('-', '_')}": str(file) for name, file in files.items()}
        assert (await ask(served, tmp_path, "tenants", "list", *by_option)).code == 0
        assert (await ask(served, tmp_path, "tenants", "list", **by_variable)).code == 0
        profile = {"XDG_CONFIG_HOME": str(tmp_path)}
        assert (await run_cli(tmp_path, "profile", "add", "ops", *by_option, **profile)).code == 0
        assert (await ask(served, tmp_path, "--profile", "ops", "tenants", "list", **profile)).code == 0
        both = tmp_path / "both.pem"
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        in_one = ("--ca-cert", str(served.authority.file), "--client-cert", str(both))
        assert (await ask(served, tmp_path, "doctor", *in_one)).code == 0


async def test_without_a_certificate_or_the_authority_the_reason_is_told(redis_url: str, tmp_path: Path) -> None:
    async with serving(redis_url, tmp_path) as served:
        trusting = ("--ca-cert", str(served.authority.file))
        nameless = await ask(served, tmp_path, "tenants", "list", *trusting, "-o", "json")
        assert nameless.code == 4
        assert "can't be reached" in json.loads(nameless.err)["error"]["message"]
        untrusted = await ask(served, tmp_path, "tenants", "list")
        assert (untrusted.code, "certificate" in untrusted.err) == (4, True)
        stranger, key = Authority(tmp_path, "stranger").sign("ops")
        refused = await ask(
            served, tmp_path, "tenants", "list", *trusting, "--client-cert", str(stranger), "--client-key", str(key)
        )
        assert refused.code == 4
        no_key = await ask(served, tmp_path, "tenants", "list", *trusting, "--client-cert", str(stranger))
        assert (no_key.code, "can't be used" in no_key.err) == (2, True)
        assert (await ask(served, tmp_path, "tenants", "list", "--ca-cert", "none.pem")).code == 2
