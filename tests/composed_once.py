"""Composes each choice of config groups once a session; overrides of single options are applied anew each time.

Hydra reads and merges some forty configs for every command line, which would be a third of the time of all quick tests.
"""

import copy
import pickle
from dataclasses import astuple, replace
from functools import partial, wraps
from types import SimpleNamespace

import pytest
from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import InputDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins


def _sources(repo):
    return tuple((source.provider, source.path) for source in repo.get_sources())


def _stored(part):
    """Yields every config that is stored in memory, with its name."""
    for name, value in part.items():
        if isinstance(value, dict):
            yield from _stored(value)
        else:
            yield name, value


def compose_once(patched: pytest.MonkeyPatch) -> None:
    """Keeps files that hydra has read, lists of defaults, and what they merge to, until another config is stored."""
    lists, merged, stored = {}, {}, []
    create, merge = config_loader_impl.create_defaults_list, ConfigLoaderImpl._compose_config_from_defaults_list

    def forget():
        """Forgets everything if a stored config is another than before; tests put some there and take them out."""
        now = list(_stored(ConfigStore.instance().repo))
        if [(name, id(node)) for name, node in now] != [(name, id(node)) for name, node in stored]:
            stored[:] = now  # kept, so that no other config gets the same id
            lists.clear()
            merged.clear()

    @wraps(create)
    def create_once(repo, config_name, overrides_list, prepend_hydra, skip_missing):
        forget()
        overrides = defaults_list.Overrides(repo, overrides_list).config_overrides
        groups = tuple(word.input_line for word in overrides_list if not any(word is other for other in overrides))
        key = config_name, groups, prepend_hydra, skip_missing, _sources(repo)
        if key not in lists:
            lists[key] = create(repo, config_name, overrides_list, prepend_hydra, skip_missing)
        return replace(lists[key], config_overrides=overrides)

    @wraps(merge)
    def merge_once(loader, defaults, repo):
        key = tuple(map(astuple, defaults)), _sources(repo)
        if key not in merged:
            merged[key] = pickle.dumps(merge(loader, defaults, repo))
        return pickle.loads(merged[key])  # in half of the time of a deep copy

    _resolve_interpolations_alone(patched)
    _parse_once(patched)
    patched.setattr(config_loader_impl, "create_defaults_list", create_once)
    patched.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge_once)
    # Hydra copies its sources before it adds to them, and with them all configs that are stored.
    patched.setattr(ConfigStore, "__deepcopy__", lambda store, _: store, raising=False)
    Plugins.instance()  # finds the sources
    for scheme in ("file", "pkg"):
        source = SourcesRegistry.instance().resolve(scheme)
        patched.setattr(source, "load_config", _read_once(source.load_config))


def _resolve_interpolations_alone(patched):
    """Makes what names of configs are interpolated with, a third of a composition's time, only where one is."""
    create, resolve = defaults_list._create_interpolation_map, InputDefault._resolve_interpolation_impl

    def create_later(overrides, defaults, self_added):
        known = SimpleNamespace(known_choices=dict(overrides.known_choices))
        return partial(create, known, list(map(copy.copy, defaults)), self_added)

    def resolve_with(default, create_choices, name):
        return resolve(default, create_choices(), name)

    patched.setattr(defaults_list, "_create_interpolation_map", create_later)
    patched.setattr(InputDefault, "_resolve_interpolation_impl", resolve_with)


def _parse_once(patched):
    """Keeps what words of a command line were parsed to: a command parses each word three times, tests share many."""
    parse, parsed = OverridesParser.parse_rule, {}

    def parse_once(parser, text, rule):
        if (text, rule) not in parsed:
            parsed[text, rule] = parse(parser, text, rule)
        return copy.copy(parsed[text, rule])  # hydra writes into it whose word it is

    patched.setattr(OverridesParser, "parse_rule", parse_once)


def _read_once(load_config):
    configs: dict[tuple[str, str], bytes] = {}

    def load_once(source, config_path):
        key = source.path, config_path
        if key not in configs:
            configs[key] = pickle.dumps(load_config(source, config_path))
        return pickle.loads(configs[key])

    return load_once
