"""What the stand-in hub answers to those who push: it makes repositories, stores large files and adds commits."""

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any

LARGE_NAMES = (".safetensors",)
"""Endings of files that go into storage, whatever their size; the real hub asks a repository's .gitattributes."""

Answer = tuple[int, dict[str, Any]]


@dataclass
class Uploads:
    """Repositories that were pushed to.

    Attributes:
        private: of each repository that was made, whether it is private.
        files: the files of each repository, by their paths.
        stored: large files by their SHA-256, as they came.
        forbidden: a status that is answered to every request that writes; None: all are allowed.
    """

    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    forbidden: int | None = None

    def answer(self, command: str, path: str, body: bytes, endpoint: str) -> Answer | None:
        """Status and JSON of an answer; None for a request that is none of a push."""
        if stored := re.fullmatch(r"/stored/([0-9a-f]{64})", path):
            self.stored[stored[1]] = body
            return 200, {}
        if path == "/api/validate-yaml":
            return 200, {"warnings": [], "errors": []}
        of_name = re.fullmatch(r"/api/models/(.+?)/(preupload|commit)/main", path)
        of_files = re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", path)
        if command != "POST" or not (path == "/api/repos/create" or of_name or of_files):
            return None
        if self.forbidden:
            return self.forbidden, {"error": "forbidden"}
        if path == "/api/repos/create":
            return self._create(json.loads(body), endpoint)
        if of_files:
            return 200, self._batch(json.loads(body), endpoint)
        assert of_name is not None
        if of_name[2] == "preupload":
            return 200, {"files": [_mode(file["path"]) for file in json.loads(body)["files"]]}
        return 200, self._commit(of_name[1], body.decode(), endpoint)

    def _create(self, asked: dict[str, Any], endpoint: str) -> Answer:
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        there = name in self.private
        self.private.setdefault(name, bool(asked.get("private") or asked.get("visibility") == "private"))
        self.files.setdefault(name, {})
        return 409 if there else 200, {"url": f"{endpoint}/{name}", "name": name, "id": name}

    def _batch(self, asked: dict[str, Any], endpoint: str) -> dict[str, Any]:
        places = [
            {**one, "actions": {"upload": {"href": f"{endpoint}/stored/{one['oid']}"}}} for one in asked["objects"]
        ]
        return {"transfer": "basic", "objects": places}

    def _commit(self, name: str, lines: str, endpoint: str) -> dict[str, Any]:
        for line in lines.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                self.files[name][value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.files[name][value["path"]] = self.stored[value["oid"]]
        return {"commitUrl": f"{endpoint}/{name}/commit/{'1' * 40}", "commitOid": "1" * 40, "success": True}


def _mode(path: str) -> dict[str, Any]:
    return {"path": path, "uploadMode": "lfs" if path.endswith(LARGE_NAMES) else "regular", "shouldIgnore": False}
