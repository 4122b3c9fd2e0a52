"""A hub on this machine for the hub's own client: repositories in memory, and what a push and a load ask."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class FakeHub(ThreadingHTTPServer):
    """`repos`: name -> files; `private`: names; `asked`: method and path of each request; `token`: who may write."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.asked: list[str] = []
        self.token = "hf_good"
        self.url = f"http://127.0.0.1:{self.server_port}"

    def sha(self, name: str) -> str:
        """A commit's name, which follows from what is there."""
        files = sorted(self.repos[name].items())
        return hashlib.sha1(b"".join(path.encode() + content for path, content in files)).hexdigest()


@contextmanager
def running():
    """A fake hub that answers."""
    hub = FakeHub()
    threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


class _Answers(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def log_message(self, *args):
        pass

    def _send(self, content: object, status: int = 200, **headers: str):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _missing(self, code: str):
        self._send({"error": code}, 404, X_Error_Code=code)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if api else parts[:2])
        if name not in self.server.repos:
            return self._missing("RepoNotFound")
        files, sha = self.server.repos[name], self.server.sha(name)
        rest = parts[4:] if api else parts[2:]
        if len(rest) > 1 and rest[1] not in ("main", sha):
            return self._missing("RevisionNotFound")
        if not api:  # resolve/SHA/FILE
            if rest[2] not in files:
                return self._missing("EntryNotFound")
            tag = f'"{hashlib.sha1(files[rest[2]]).hexdigest()}"'
            return self._send(files[rest[2]], ETag=tag, X_Repo_Commit=sha)
        if rest[:1] == ["tree"]:
            listed = [
                {"type": "file", "path": p, "size": len(b), "oid": hashlib.sha1(b).hexdigest()}
                for p, b in files.items()
            ]
            return self._send(listed)
        siblings = [{"rfilename": path} for path in files]
        return self._send({"id": name, "sha": sha, "private": name in self.server.private, "siblings": siblings})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(f"POST {self.path}")
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return self._send({"error": "Invalid username or password."}, 401)
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts == ["api", "validate-yaml"]:
            return self._send({"warnings": [], "errors": []})
        if parts == ["api", "repos", "create"]:
            told = json.loads(body)
            name = f"{told['organization']}/{told['name']}"
            if name in self.server.repos:
                return self._send(
                    {"error": "You already created this model repo", "url": f"{self.server.url}/{name}"}, 409
                )
            self.server.repos[name] = {".gitattributes": b"", "pytorch_model.bin": b"a pickle of the hub's"}
            self.server.private |= {name} if told.get("private") or told.get("visibility") == "private" else set()
            return self._send({"url": f"{self.server.url}/{name}", "name": name})
        name = "/".join(parts[2:4])
        files = self.server.repos[name]
        if parts[4] == "preupload":
            wanted = json.loads(body)["files"]
            return self._send(
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in wanted]}
            )
        for line in map(json.loads, body.splitlines()):  # commit
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                del files[line["value"]["path"]]
        return self._send(
            {
                "commitUrl": f"{self.server.url}/{name}/commit/{self.server.sha(name)}",
                "commitOid": self.server.sha(name),
            }
        )
