"""Make a Pipecat service from its spec, or say which field is wrong. Imports Pipecat: for its own processes only."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import types
import typing
from typing import Any, Final

from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService

from agent.pipecat.spec import PartSpec

BASES: Final[dict[str, type]] = {"voice": TTSService, "recogniser": STTService, "brain": LLMService}
_SIMPLE: Final = (str, int, float, bool)


class PartRefused(Exception):
    """A part cannot be made; ``field`` as in the YAML (``voice.settings.speed``)."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def make_service(spec: PartSpec) -> Any:
    """A new service. Raises ``PartRefused``; secrets are in no message."""
    cls = find_class(spec)
    known = _arguments(cls)
    _check_arguments(spec, known)
    given: dict[str, Any] = {**spec.arguments, **spec.secrets}
    settings = _settings(spec, cls)
    if settings is not None:
        given["settings"] = settings
    _check_required(spec, cls, given)
    try:
        return cls(**given)
    except Exception as error:  # constructors of many vendors raise what they like
        field = _key_field(spec) if _speaks_of_key(error) else f"{spec.part}.pipecat"
        raise PartRefused(field, f"{cls.__name__} cannot be made: {spec.hide(str(error))}") from None


def find_class(spec: PartSpec) -> type:
    """The class of ``spec.service``. Raises ``PartRefused``."""
    field = f"{spec.part}.pipecat"
    module_name, _, name = spec.service.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module may fail in any way while it is imported
        raise PartRefused(field, f"{module_name} cannot be imported: {spec.hide(str(error))}") from None
    found = getattr(module, name, None)
    base = BASES[spec.part]
    if not isinstance(found, type):
        near = sorted(key for key, value in vars(module).items() if _is_service(value, base))
        raise PartRefused(field, f"{module_name} has no class {name}; it has {', '.join(near) or 'no such service'}")
    if not issubclass(found, base):
        raise PartRefused(field, f"{name} is no {base.__name__} of Pipecat")
    if inspect.isabstract(found):
        raise PartRefused(field, f"{name} is a base class: name one that is made of it")
    return found


def _is_service(value: object, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base) and value is not base and not inspect.isabstract(value)


def _arguments(cls: type) -> set[str]:
    """Names that the constructor takes: those of the bases too where it hands on what it does not know."""
    names: set[str] = set()
    for owner in cls.__mro__:
        init = vars(owner).get("__init__")
        if init is None:
            continue
        parameters = inspect.signature(init).parameters.values()
        names |= {one.name for one in parameters if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)}
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            break
    return names - {"self"}


def _check_arguments(spec: PartSpec, known: set[str]) -> None:
    shown = ", ".join(sorted(known - {"settings", *spec.secret_names}))
    for name in spec.arguments:
        if name == "settings" or name not in known:
            raise PartRefused(f"{spec.part}.arguments.{name}", f"unknown argument; known: {shown}")
    for name in spec.secrets:
        if name not in known:
            field = f"{spec.part}.api_key_env" if name == "api_key" else f"{spec.part}.secrets_env.{name}"
            raise PartRefused(field, f"the service takes no {name}; it takes {shown}")


def _check_required(spec: PartSpec, cls: type, given: dict[str, Any]) -> None:
    """What the constructor itself insists on."""
    for one in inspect.signature(cls.__init__).parameters.values():  # type: ignore[misc]  # of any class
        if one.kind is one.KEYWORD_ONLY and one.default is one.empty and one.name not in given:
            field = _key_field(spec) if "key" in one.name else f"{spec.part}.arguments.{one.name}"
            raise PartRefused(field, f"is missing: {cls.__name__} needs {one.name}")


def _key_field(spec: PartSpec) -> str:
    return f"{spec.part}.api_key_env"


def _speaks_of_key(error: Exception) -> bool:
    return any(word in str(error).lower() for word in ("api_key", "api key", "credential"))


def _settings(spec: PartSpec, cls: type) -> Any:
    """The class's own settings object; ``None`` where nothing is set."""
    if not spec.settings:
        return None
    field = f"{spec.part}.settings"
    kind: Any = getattr(cls, "Settings", None)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise PartRefused(field, f"{cls.__name__} has no settings")
    aliases: dict[str, str] = getattr(kind, "_aliases", {})
    known = {one.name for one in dataclasses.fields(kind)}
    for name in spec.settings:
        if aliases.get(name, name) not in known:
            raise PartRefused(f"{field}.{name}", f"unknown setting; known: {', '.join(sorted(known))}")
    hints = _hints(kind)
    values = {aliases.get(name, name): value for name, value in spec.settings.items()}
    for name, value in values.items():
        reason = _wrong_type(hints.get(name), value)
        if reason:
            raise PartRefused(f"{field}.{name}", reason)
    made: Any = kind
    return made(**values)


def _hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except Exception:  # hints that only type checkers can read
        return {}


def _wrong_type(hint: Any, value: object) -> str:
    """Why ``value`` cannot be of a type made of texts, numbers and truth values; empty for any other type."""
    options = set(typing.get_args(hint)) if typing.get_origin(hint) in (typing.Union, types.UnionType) else {hint}
    if typing.get_origin(hint) is typing.Literal or any(typing.get_origin(one) is not None for one in options):
        return ""
    plain = [one for one in options if one in _SIMPLE]
    strange = [
        one for one in options if isinstance(one, type) and one not in _SIMPLE and "NotGiven" not in one.__name__
    ]
    if not plain or any(one is not type(None) for one in strange):
        return ""
    if value is None and type(None) in options:
        return ""
    fits = type(value) in plain or (float in plain and type(value) is int)
    return "" if fits else f"must be {' or '.join(sorted(one.__name__ for one in plain))}"
