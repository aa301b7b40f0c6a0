"""Our own part of a change, taken back out of a file that somebody else has edited since."""

from hx_gateway_db.host import config_yaml, drop_in, gateway_env, render
from hx_gateway_db.host.drop_ins import DROP_INS
from hx_gateway_db.layout import CONFIG_YAML, GATEWAY_ENV
from hx_gateway_db.transaction.changes import FileChange
from hx_gateway_db.transaction.snapshot import FileImage
from hx_gateway_db.yaml_edit.edit import YamlRefusal


def take_back(change: FileChange, now: FileImage) -> FileImage | None:
    """The file `now` with what is ours in it as it was before `change`, and every other byte kept.

    None when that can't be done safely, or when nothing in the file is ours.
    """
    before = change.before.content if change.before else b""
    try:
        content = _without_ours(change, now.content, before)
    except (YamlRefusal, gateway_env.EnvFileRefusal, UnicodeDecodeError):
        return None
    if content is None:
        return None
    if change.path.name == GATEWAY_ENV:
        # Whoever put another file there must not be the one who says who reads the old password.
        ours = change.before or change.after
        return FileImage(content, ours.metadata) if ours else None
    return FileImage(content, now.metadata)


def _without_ours(change: FileChange, now: bytes, before: bytes) -> bytes | None:
    name = change.path.name
    if name == CONFIG_YAML:
        return config_yaml.as_before(now, before) if change.before else None
    if name == GATEWAY_ENV:
        template = render.gateway_env_with_all_keys()
        after = change.after.content if change.after else b""
        text = gateway_env.as_before(now.decode(), before.decode(), after.decode(), template)
        return text.encode()
    record = next((record for record in DROP_INS if record.path == change.path), None)
    if record is None:
        return None
    text = now.decode()
    for ours in filter(None, (record.prepared, record.ours)):
        text = drop_in.merge(text, before.decode(), ours)
    return text.encode()
