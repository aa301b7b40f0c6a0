"""What postrm does at purge, on folders that the gateway's user may have prepared for it.

Each test has a tree of its own; a private mount namespace puts it where the script looks.
"""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from hx_gateway_db.host import gateway_env
from hx_gateway_db.host.left import Left
from hx_gateway_db.host.render import gateway_env_with_all_keys

PROJECT = Path(__file__).resolve().parents[2]
POSTRM = PROJECT / "debian/hx-gateway-db.postrm"
SERVICE_USER = 64123
PRISTINE = b"general_settings:\n  master_key: sk\n"
WIRED = PRISTINE + b"  disable_spend_logs: false\n"
ATTRIBUTE = "user.origin"
PG_URL = "postgresql://u:geheim%25@h:5432/d?sslmode=require"
LEFT = Left("5a17").with_lines({"PG_URL": PG_URL})


class Host:
    """`/opt` and `/var/lib` of a machine on which the package was removed."""

    def __init__(self, folder: Path) -> None:
        self.opt = folder / "opt"
        self.var_lib = folder / "var-lib"
        self.state = self.var_lib / "hx-gateway-db"
        self.config_folder = self.opt / "base/config"
        self.config = self.config_folder / "config.yaml"
        self.gateway_env = self.config_folder / "gateway.env"
        self.config_folder.mkdir(parents=True)
        self.state.mkdir(parents=True, mode=0o700)
        (self.state / "config.yaml.pristine").write_bytes(PRISTINE)
        for name in ("lock", "settled"):
            (self.state / name).touch()
        self.config.write_bytes(WIRED)
        self.gateway_env.write_text("DATABASE_URL=postgresql://u:p@h/d\n")
        self.record()

    def record(self, *more: str) -> None:
        """Write the state file, as hx_gateway_db.state does."""
        lines = [
            "# Kept by hx-gateway-db(8); read by its purge.",
            "gateway-env /opt/base/config/gateway.env",
            "config /opt/base/config/config.yaml",
            f"config-sha256 {hashlib.sha256(WIRED).hexdigest()}",
            f"salt {LEFT.salt}",
            *(f"line {key} {digest}" for key, digest in LEFT.lines),
            *more,
        ]
        (self.state / "state").write_text("\n".join(lines) + "\n")

    def give_to_service_user(self) -> None:
        for path in (self.opt / "base", self.config_folder, self.config):
            os.chown(path, SERVICE_USER, SERVICE_USER)

    def postrm(self, action: str = "purge", dropped: str = "") -> str:
        """Run the script and return what it says; it has to succeed.

        `dropped` is the database (port and name) that it has dropped before, if it has.
        """
        script = POSTRM
        if dropped:
            script = self.var_lib.parent / "postrm"
            script.write_text(POSTRM.read_text().replace("dropped=''", f"dropped='{dropped}'"))
        done = self.run_postrm(action, script=script)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def run_postrm(
        self, action: str, before: Sequence[str] = (), script: Path = POSTRM
    ) -> subprocess.CompletedProcess[str]:
        """Run the script, by way of the command `before` if there is one.

        debconf is not there: what the script does with it is tested in test_debconf.py.
        """
        wrapped = (
            'mount --bind "$1" /opt && mount --bind "$2" /var/lib && shift 2'
            " && mount -t tmpfs empty /usr/share/debconf"
            f' && exec "$@" /bin/sh "{script}" "{action}"'
        )
        folders = [str(self.opt), str(self.var_lib)]
        command = ["unshare", "--mount", "sh", "-c", wrapped, "sh", *folders, *before]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    def names(self) -> set[str]:
        return {path.name for path in self.config_folder.iterdir()}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    if os.geteuid() != 0:
        pytest.fail("Purging changes owners and mounts: run these tests as root.")
    return Host(tmp_path)


def test_purge_gives_config_yaml_its_bytes_back_and_leaves_nothing_else(host: Host) -> None:
    assert host.postrm() == ""
    assert host.config.read_bytes() == PRISTINE
    assert host.names() == {"config.yaml"}
    assert not host.state.exists()


@pytest.mark.parametrize("action", ["remove", "upgrade", "failed-upgrade", "abort-install"])
def test_nothing_but_purge_touches_anything(host: Host, action: str) -> None:
    host.postrm(action)
    assert host.config.read_bytes() == WIRED
    assert host.gateway_env.exists()
    assert host.state.exists()


OURS = f"""\
DATABASE_URL=postgresql://u:geheim@h/d
PG_URL={PG_URL}
PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK=1
REDIS_URL=redis://:geheim@h
LITELLM_REDIS_URL=redis://:geheim@h
EXPERIMENTAL_MULTI_INSTANCE_RATE_LIMITING=true
DISABLE_ADMIN_UI=true
"""
# Every line of the template, whatever was answered.
RENDERED = gateway_env_with_all_keys().replace("PG_URL=-", f"PG_URL={PG_URL}")
EDITED = [
    'DATABASE_URL="postgresql://u:geheim@h/d"\n',
    " export DATABASE_URL = 'postgresql://u:geheim@h/d'\n",
    'DATABASE_URL="postgresql://u:geheim\n@h/geheim"\n',
    "DATABASE_URL=postgresql://u:geheim\\\n@h/geheim\n",
    "DATABASE_URL=postgresql://u:geheim@h/d",
    f"PG_URL={PG_URL}",
    f"PG_URL={PG_URL}\r\nDISABLE_ADMIN_UI=true\r\n",
]


@pytest.mark.parametrize("text", [OURS, RENDERED, *EDITED, f"# a note\n{OURS}", "", "\n\n"])
def test_a_gateway_env_with_nothing_but_ours_goes(host: Host, text: str) -> None:
    host.gateway_env.write_text(text)
    assert host.postrm() == ""
    assert host.names() == {"config.yaml"}


@pytest.mark.parametrize("ours", [OURS, RENDERED, *EDITED])
def test_lines_of_an_administrator_in_gateway_env_stay_and_ours_go(host: Host, ours: str) -> None:
    """The salt with which LiteLLM encrypts what is in its database may be nowhere else."""
    theirs = "# from the vault\nLITELLM_SALT_KEY=sk-salt\n\nexport OPENAI_API_KEY='sk-o'\n"
    host.gateway_env.write_text(f"{theirs}\n{ours}")
    host.gateway_env.chmod(0o640)
    os.chown(host.gateway_env, 0, SERVICE_USER)
    said = host.postrm()
    assert host.gateway_env.read_text().rstrip("\n") == theirs.rstrip("\n")
    status = host.gateway_env.stat()
    assert (status.st_gid, status.st_mode & 0o777) == (SERVICE_USER, 0o640)
    assert "gateway.env stays, without our lines: it also sets" in said
    assert "LITELLM_SALT_KEY OPENAI_API_KEY" in said
    assert "sk-" not in said and "geheim" not in said
    assert host.names() == {"config.yaml", "gateway.env"}


SALT = "sk-" + 48 * "x"
SALT_FILE = gateway_env.with_salt(None, SALT, RENDERED)
OF_OURS = f"salt-sha256 {hashlib.sha256(SALT.encode()).hexdigest()}"


def test_the_salt_stays_with_one_sentence_that_says_why(host: Host) -> None:
    host.gateway_env.write_text(f"{SALT_FILE}{OURS}")
    host.record(OF_OURS)
    said = host.postrm()
    text = host.gateway_env.read_text()
    assert text.endswith(f"LITELLM_SALT_KEY={SALT}\n") and "geheim" not in text
    assert "it has to stay" in text
    assert said.count("\n") == 1 and SALT not in said
    assert said.rstrip().endswith(
        "LITELLM_SALT_KEY (without LITELLM_SALT_KEY, nobody can read what LiteLLM has encrypted)"
    )


@pytest.mark.parametrize(
    ("dropped", "url", "salt", "goes"),
    [
        ("5432/hx", "postgresql://u:p@127.0.0.1:5432/hx", SALT, True),
        ("5432/hx", "postgresql://u:p@127.0.0.1:5432/hx?sslmode=prefer", SALT, True),
        ("5432/hx", "postgresql://u:p@127.0.0.1:5432/hx2", SALT, False),
        ("5432/hx", "postgresql://u:p@db1:5432/hx", SALT, False),
        ("", "postgresql://u:p@127.0.0.1:5432/hx", SALT, False),
        ("5432/hx", "postgresql://u:p@127.0.0.1:5432/hx", "sk-another", False),
    ],
)
def test_the_salt_goes_with_the_database_that_it_was_made_for_and_no_other(
    host: Host, dropped: str, url: str, salt: str, goes: bool
) -> None:
    text = SALT_FILE.replace(SALT, salt)
    host.gateway_env.write_text(f"{text}\nDATABASE_URL={url}\n")
    host.record(OF_OURS)
    said = host.postrm(dropped=dropped)
    assert host.gateway_env.exists() != goes
    assert ("LITELLM_SALT_KEY" in said) != goes


@pytest.mark.parametrize("line", [f"PG_URL={PG_URL}&application_name=mine", "PG_URL=", "PG_URL=x"])
def test_a_pg_url_that_is_not_as_we_wrote_it_is_the_administrators(host: Host, line: str) -> None:
    host.gateway_env.write_text(f"{OURS}{line}\n")
    assert "also sets PG_URL" in host.postrm()
    assert host.gateway_env.read_text() == f"{line}\n"


def test_a_pg_url_of_which_the_state_file_knows_nothing_stays(host: Host) -> None:
    text = (host.state / "state").read_text()
    (host.state / "state").write_text(text.replace("line PG_URL", "line OTHER"))
    host.gateway_env.write_text(OURS)
    host.postrm()
    assert host.gateway_env.read_text() == f"PG_URL={PG_URL}\n"


def test_a_gateway_env_that_stays_is_roots_when_its_group_goes(host: Host) -> None:
    host.record("group no-such-group-here")
    host.gateway_env.write_text("LITELLM_SALT_KEY=sk-salt\n")
    os.chown(host.gateway_env, 0, SERVICE_USER)
    host.postrm()
    assert host.gateway_env.stat().st_gid == 0


def test_the_purge_knows_every_line_that_we_write() -> None:
    script = POSTRM.read_text()
    for line in RENDERED.splitlines():
        assert line == "" or line.startswith("PG_URL=") or line.partition("=")[0] in script, line


def test_owner_mode_acl_and_attributes_of_config_yaml_stay(host: Host) -> None:
    host.give_to_service_user()
    os.chown(host.config, 0, SERVICE_USER)
    host.config.chmod(0o640)
    os.setxattr(host.config, ATTRIBUTE, b"hand-made")
    subprocess.run(["setfacl", "--modify", "u:64999:r", host.config], check=True)
    acl = os.getxattr(host.config, "system.posix_acl_access")
    host.postrm()
    status = host.config.stat()
    assert host.config.read_bytes() == PRISTINE
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, SERVICE_USER, 0o640)
    assert os.getxattr(host.config, ATTRIBUTE) == b"hand-made"
    assert os.getxattr(host.config, "system.posix_acl_access") == acl


def test_a_config_yaml_that_was_edited_since_stays_as_it_is(host: Host) -> None:
    edited = WIRED + b"# a model of ours\n"
    host.config.write_bytes(edited)
    host.postrm()
    assert host.config.read_bytes() == edited
    assert host.names() == {"config.yaml"}


def test_the_folders_that_the_package_made_go_when_they_are_empty(host: Host) -> None:
    (host.opt / "made/deep").mkdir(parents=True)
    host.record("folder /opt/made/deep", "folder /opt/made", "folder /opt/base/config")
    host.postrm()
    assert not (host.opt / "made").exists()
    assert host.config.exists()


def test_a_link_in_place_of_config_yaml_is_not_followed(host: Host) -> None:
    victim = host.opt / "victim"
    victim.write_bytes(WIRED)
    host.config.unlink()
    host.config.symlink_to("/opt/victim")
    os.chown(host.config_folder, SERVICE_USER, SERVICE_USER)
    host.postrm()
    assert victim.read_bytes() == WIRED
    assert host.config.is_symlink()


def test_a_link_in_place_of_gateway_env_is_removed_and_its_target_stays(host: Host) -> None:
    victim = host.opt / "victim"
    victim.write_text("precious")
    host.gateway_env.unlink()
    host.gateway_env.symlink_to("/opt/victim")
    host.postrm()
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    ("folder_owner", "folder_mode", "link_owner"),
    [
        (SERVICE_USER, 0o755, SERVICE_USER),
        (SERVICE_USER, 0o755, 0),
        (0, 0o775, 0),
        (0, 0o755, SERVICE_USER),
    ],
)
def test_a_link_that_somebody_else_could_have_made_is_not_followed(
    host: Host, folder_owner: int, folder_mode: int, link_owner: int
) -> None:
    elsewhere = host.opt / "elsewhere"
    host.config_folder.rename(elsewhere)
    host.config_folder.symlink_to("/opt/elsewhere")
    os.chown(host.config_folder, link_owner, link_owner, follow_symlinks=False)
    os.chown(host.opt / "base", folder_owner, SERVICE_USER)
    (host.opt / "base").chmod(folder_mode)
    host.record("folder /opt/base/config")
    host.postrm()
    assert (elsewhere / "config.yaml").read_bytes() == WIRED
    assert (elsewhere / "gateway.env").exists()
    assert host.config_folder.is_symlink()


@pytest.mark.parametrize("target", ["/opt/real", "real", "../opt/./real"])
def test_a_link_that_only_root_can_have_made_is_followed(host: Host, target: str) -> None:
    (host.opt / "base").rename(host.opt / "real")
    (host.opt / "base").symlink_to(target)
    host.postrm()
    real = host.opt / "real/config"
    assert (real / "config.yaml").read_bytes() == PRISTINE
    assert not (real / "gateway.env").exists()


def test_links_in_a_circle_end_the_search(host: Host) -> None:
    (host.opt / "base").rename(host.opt / "real")
    (host.opt / "base").symlink_to("/opt/base")
    host.postrm()
    assert (host.opt / "real/config/config.yaml").read_bytes() == WIRED


@pytest.mark.parametrize("kind", ["folder", "pipe", "missing"])
def test_what_is_not_a_regular_file_is_left_alone(host: Host, kind: str) -> None:
    host.config.unlink()
    if kind == "folder":
        host.config.mkdir()
    elif kind == "pipe":
        os.mkfifo(host.config)
    host.postrm()
    assert host.names() == (set() if kind == "missing" else {"config.yaml"})


def test_purge_succeeds_when_the_gateway_is_gone(host: Host) -> None:
    subprocess.run(["rm", "-r", host.opt / "base"], check=True)
    host.record("folder /opt/base/config", "group no-such-group")
    assert host.postrm() == ""
    assert not host.state.exists()


def test_purge_succeeds_when_nothing_was_ever_configured(host: Host) -> None:
    subprocess.run(["rm", "-r", host.state], check=True)
    assert host.postrm() == ""
    assert host.config.read_bytes() == WIRED


def test_without_the_pristine_bytes_config_yaml_stays(host: Host) -> None:
    (host.state / "config.yaml.pristine").unlink()
    host.postrm()
    assert host.config.read_bytes() == WIRED
