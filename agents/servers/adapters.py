"""Low-rank adapters that a server loads while it runs, so that it plays with the weights that were learned here."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai

from agents.servers.faults import fault_of, redacted
from agents.servers.options import Api

_WEIGHTS = "adapter_model.safetensors"
_NOBODY = "clarify-none"


class Adapters:
    """Loads adapters of checkpoints into a server, by vLLM's or SGLang's interface.

    An adapter is named after its weights, so that equal names are equal weights. When another is loaded, the last one
    is unloaded. Methods that ask the server raise `openai.APIError` where it may be asked again; see `fault_of`.

    Args:
        client: Client of the server.
        options: Options of the player.
        section: Config section of the options, for errors.
        key: Key of the server, which errors leave out.

    Attributes:
        run_dir: Folder of the run, if there is one.
        loads: Number of adapters loaded so far.
    """

    def __init__(self, client: openai.AsyncOpenAI, options: Api, section: str, key: str | None):
        self.run_dir: Path | None = None
        self._client, self._options, self._section, self._key = client, options, section, key
        self._folders: dict[str, Path] = {}
        self._loaded, self.loads = "", 0
        self._loading = asyncio.Lock()
        self._failed: openai.APIError | None = None

    def named(self, adapter: str) -> tuple[str, dict[str, Any]]:
        """Returns the model's name and the further fields of a request that plays with an adapter."""
        if not adapter:
            return self._options.model, {}
        if self._options.adapters == "sglang":
            return self._options.model, {"lora_path": adapter}
        return adapter, {}

    async def ensure(self, name: str) -> None:
        """Loads an adapter, unless it is loaded or the name is empty; see `name_of`.

        Raises:
            ValueError: The server cannot load it.
        """
        failed = self._failed
        async with self._loading:
            if not name or name == self._loaded:
                return
            if self._failed is not None and self._failed is not failed:
                raise self._failed  # one attempt speaks for all that waited for it
            try:
                await self._load(name, self._folders[name])
                if self._loaded:
                    await self._post("unload", self._loaded)
            except openai.APIError as error:
                self._failed = error
                raise
            self._loaded = name

    def name_of(self, folder: Path) -> str:
        """Returns the name of an adapter, a digest of its weights; it is loaded before the first request that wants it.

        Raises:
            ValueError: The folder holds none.
        """
        if not (folder / _WEIGHTS).exists():
            raise ValueError(
                f"{self._section}.adapters: {folder} holds no adapter for the server to load; update.lora_rank above 0 "
                "learns one"
            )
        name = "clarify-" + hashlib.sha256((folder / _WEIGHTS).read_bytes()).hexdigest()[:12]
        self._folders[name] = folder
        return name

    def lost(self, loads: int) -> None:
        """Notes that the server has lost its adapter: it is loaded again, unless another request has done so.

        Args:
            loads: `loads` when the adapter was last loaded.
        """
        if self.loads == loads:
            self._loaded = ""

    async def check(self) -> None:
        """Checks that the server has the path by which adapters are loaded: it is asked to unload an unknown one.

        Raises:
            ValueError: It has not.
        """
        if self._options.adapters == "none":
            return
        try:
            response = await self._post("unload", _NOBODY)
        except openai.APIStatusError as error:
            response = error.response
        body = _json(response)
        known = response.status_code != 405 and (
            response.status_code != 404 or bool({"error", "object", "success"} & set(body))
        )
        if not known:
            raise ValueError(f"{self._cannot(response)}; {self._advice()}")

    async def _load(self, name: str, folder: Path) -> None:
        response = await self._post("load", name, lora_path=str(self._seen(folder)))
        loaded = response.status_code < 400 and _json(response).get("success") is not False
        if not loaded and not _is_there(response, name):
            raise ValueError(f"{self._cannot(response)}; {self._advice()}")
        self.loads += 1

    def _seen(self, folder: Path) -> Path:
        """Returns the path under which the server sees a folder of the run."""
        if self._options.adapters_at is None or self.run_dir is None:
            return folder.resolve()
        return Path(self._options.adapters_at) / folder.resolve().relative_to(self.run_dir.resolve())

    async def _post(self, verb: str, name: str, **fields: str) -> httpx.Response:
        root = self._options.base_url.rstrip("/")
        if self._options.adapters == "sglang":
            root = root.removesuffix("/v1")
        try:
            body = {"lora_name": name, **fields}
            return await self._client.post(f"{root}/{verb}_lora_adapter", cast_to=httpx.Response, body=body)
        except openai.APIStatusError as error:
            if fault_of(error, self._options, self._section, self._key).again and not _is_there(error.response, name):
                raise
            return error.response

    def _cannot(self, response: httpx.Response) -> str:
        text = redacted(" ".join(response.text.split()), self._key)[:200]
        return (
            f"{self._section}.adapters={self._options.adapters}: the server at {self._options.base_url} cannot load "
            f"adapters ({response.status_code}: {text})"
        )

    def _advice(self) -> str:
        if self._options.adapters == "sglang":
            return "start SGLang with --enable-lora, --max-lora-rank and --lora-target-modules"
        return "start vLLM with --enable-lora and --max-lora-rank, and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"


def _is_there(response: httpx.Response, name: str) -> bool:
    """Returns whether a server says that it holds the adapter: from an earlier process, or a reply that was lost."""
    return "already" in response.text and name in response.text


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
