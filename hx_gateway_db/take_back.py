"""Our own part of a change, taken back out of a file that somebody else has edited since."""

from hx_gateway_db import config_yaml, drop_in, env_file, render
from hx_gateway_db.changes import FileChange
from hx_gateway_db.layout import CACHE_DROP_IN, DATABASE_DROP_IN
from hx_gateway_db.yaml_edit import YamlRefusal


def take_back(change: FileChange, content: bytes) -> bytes | None:
    """`content` with what is ours in it as it was before `change`, and every other byte kept.

    None when that can't be done safely, or when nothing in the file is ours.
    """
    before = change.before.content if change.before else b""
    try:
        match change.path.name:
            case "config.yaml":
                return config_yaml.as_before(content, before) if change.before else None
            case "gateway.env":
                template = render.gateway_env_with_all_keys()
                return env_file.as_before(content.decode(), before.decode(), template).encode()
            case name if name in (DATABASE_DROP_IN, CACHE_DROP_IN):
                ours = drop_in.DATABASE_LINES if name == DATABASE_DROP_IN else drop_in.CACHE_LINES
                return drop_in.merge(content.decode(), before.decode(), ours).encode()
            case _:
                return None
    except (YamlRefusal, env_file.EnvFileRefusal, UnicodeDecodeError):
        return None
