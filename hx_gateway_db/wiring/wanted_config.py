"""What config.yaml shall be (specification, steps 3 and 4), and what it was before us."""

import hashlib
from collections.abc import Callable
from typing import TypeVar

from hx_gateway_db.errors import Refused
from hx_gateway_db.host import config_yaml
from hx_gateway_db.host.host import Host
from hx_gateway_db.settings.values import Settings, redis_use
from hx_gateway_db.transaction.changes import FileChange
from hx_gateway_db.transaction.snapshot import FileImage
from hx_gateway_db.wiring.wanted import Edit
from hx_gateway_db.yaml_edit.edit import YamlRefusal

_Result = TypeVar("_Result")


def wired_config(settings: Settings, host: Host) -> tuple[Edit | None, config_yaml.Origin | None]:
    """config.yaml for a wired gateway (None: it isn't there), and its origin then.

    Raises Refused when it can't be edited safely or would override gateway.env.
    """
    path = host.layout.config_yaml
    image = host.files[path]
    if image is None:
        return None, None
    if _edited(host, lambda: config_yaml.overrides_database(image.content)):
        raise Refused(
            f"{path} sets general_settings.database_url, which overrides the DATABASE_URL of"
            " gateway.env",
            "remove that line first",
        )
    present = host.config_present
    wired = _edited(host, lambda: config_yaml.wired(image.content, redis_use(settings), present))
    change = FileChange(path, image, FileImage(wired.text, image.metadata))
    if wired.text == image.content and host.origin is not None:
        return Edit(change, wired.notes), host.origin
    return Edit(change, wired.notes), _origin(host, image.content, wired.text)


def unwired_config(host: Host) -> tuple[FileChange | None, config_yaml.Origin | None]:
    """config.yaml for a gateway without a database (None: it isn't there), and its origin then."""
    path = host.layout.config_yaml
    image = host.files[path]
    if image is None:
        return None, None
    content = _edited(host, lambda: config_yaml.unwired(image.content, host.config_present))
    change = FileChange(path, image, FileImage(content, image.metadata))
    return change, _origin(host, image.content, content)


def left_config(host: Host) -> FileChange | None:
    """config.yaml below a BASE that is no longer the gateway's (None: it isn't there)."""
    path = host.layout.config_yaml
    image = host.files[path]
    if image is None:
        return None
    content = _edited(host, lambda: config_yaml.pristine(image.content, host.config_present))
    return FileChange(path, image, FileImage(content, image.metadata))


def _origin(host: Host, before: bytes, after: bytes) -> config_yaml.Origin:
    pristine = _edited(host, lambda: config_yaml.pristine(before, host.config_present))
    return config_yaml.Origin(pristine, hashlib.sha256(after).hexdigest())


def _edited(host: Host, edit: Callable[[], _Result]) -> _Result:
    try:
        return edit()
    except YamlRefusal as error:
        path, separator = host.layout.config_yaml, ":" if error.line is None else ","
        raise Refused(f"{path}{separator} {error.what}", error.cure) from None
