"""What each release's lintian says of the source package and of what is built from it."""

from pathlib import Path

from tests.machine.machine import Machine
from tests.package.published import Publisher

# trixie's lintian would complain of overrides for these ("alien-tag", "unused-override").
OF_BOOKWORM_ALONE = {
    # Its lintian is older than the policy that we follow.
    "hx-gateway-db source: newer-standards-version",
    # The unit undoes what a dead machine left, before systemd starts the gateway's units: without
    # systemd there is nothing that it could do. trixie's lintian asks for no init script any more.
    "hx-gateway-db: package-supports-alternative-init-but-no-init.d-script",
}


def test_lintian_finds_nothing_to_say_of_source_and_binary(
    release: str, tools: Machine, deb: Path
) -> None:
    for file in deb.parent.iterdir():
        if file.is_file():
            tools.put(file, f"/root/{file.name}")
    options = ["--pedantic", "--display-info", "--fail-on", "warning,info,pedantic"]
    changes = next(deb.parent.glob("*.changes"))
    done = tools.run(
        ["lintian", "--allow-root", "--profile", "debian", *options, f"/root/{changes.name}"],
        check=False,
    )
    said = (done.stdout + done.stderr).splitlines()
    expected = OF_BOOKWORM_ALONE if release == "bookworm" else set()
    unexpected = [line for line in said if not any(tag in line for tag in expected)]
    assert unexpected == []
    assert len(said) == len(expected)


def test_lintian_finds_nothing_to_say_of_the_keyring_packages(
    release: str, tools: Machine, deb: Path, tmp_path: Path
) -> None:
    publisher = Publisher(tmp_path)
    assert publisher.try_to_publish(deb).returncode == 0
    made = sorted(publisher.repository.glob("*.deb"))
    for file in made:
        tools.put(file, f"/root/{file.name}")
    options = ["--pedantic", "--display-info", "--allow-root", "--profile", "debian"]
    done = tools.run(["lintian", *options, *(f"/root/{file.name}" for file in made)], check=False)
    assert (done.stdout + done.stderr).splitlines() == []
