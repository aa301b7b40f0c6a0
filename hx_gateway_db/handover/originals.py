"""The unit of which a second one is made, as it will be when a change is written."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from hx_gateway_db.handover.second_unit import NotPossible, Original
from hx_gateway_db.layout import LITELLM_PORT, LITELLM_UNIT, WRAPPER_PORT, WRAPPER_UNIT
from hx_gateway_db.systemd import unit_file
from hx_gateway_db.systemd.loaded import Loaded
from hx_gateway_db.transaction.foreign_file import Unreadable
from hx_gateway_db.transaction.snapshot import FileImage

_PROGRAMS = {LITELLM_UNIT: ("litellm", LITELLM_PORT), WRAPPER_UNIT: ("uvicorn", WRAPPER_PORT)}
# Those of every service: a second one has them by itself.
_OF_ALL = "service.d"


def original(
    loaded: Loaded, planned: Mapping[PurePosixPath, FileImage | None], root: Path
) -> Original:
    """A unit of the gateway, below `root`, once the files are as `planned`. Raises NotPossible."""
    program, port = _PROGRAMS[loaded.name]
    paths = [loaded.fragment, *_drop_ins(loaded, planned, root)]
    texts = tuple(_text(path, planned, root) for path in paths)
    return Original(loaded.name, program, port, texts)


def _drop_ins(
    loaded: Loaded, planned: Mapping[PurePosixPath, FileImage | None], root: Path
) -> list[str]:
    """In systemd's order, which is by their names wherever they are (systemd.unit(5))."""
    found = {PurePosixPath(path).name: path for path in loaded.drop_ins}
    found |= {PurePosixPath(path).name: path for path in unit_file.drop_ins(loaded.name, root)}
    for path, image in planned.items():
        if path.parent.name != f"{loaded.name}.d":
            continue
        if image is not None:
            found[path.name] = str(path)
        elif found.get(path.name) == str(path):
            del found[path.name]
    kept = {
        name: path for name, path in found.items() if PurePosixPath(path).parent.name != _OF_ALL
    }
    return [kept[name] for name in sorted(kept)]


def _text(path: str, planned: Mapping[PurePosixPath, FileImage | None], root: Path) -> str:
    image = planned.get(PurePosixPath(path)) if path else None
    if image is not None:
        return image.content.decode(errors="replace")
    try:
        if not path:
            raise NotPossible("a unit has no file")
        return unit_file.read(path, root)
    except Unreadable as error:
        raise NotPossible(f"{path} can't be read ({error})") from None
