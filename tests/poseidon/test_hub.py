"""Weights from the hub, by the code that users run: from a prepared cache, and from a server with its protocol."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import torch

from sciml.poseidon import ScOT, ScOTConfig

COMMITS = {"main": "a" * 40, "v1": "b" * 40}
CONFIG = ScOTConfig(
    image_size=16, embed_dim=8, depths=(1,), num_heads=(2,), skip_connections=(0,), window_size=4, patch_size=4
)

# Runs in a process of its own, because huggingface_hub reads its environment when it is imported.
ASK = """
import json, sys, sciml
from sciml.errors import CheckpointError
answers = []
for name, options in json.loads(sys.argv[1]):
    try:
        net = sciml.load(name, **options)
        answers.append([net.embeddings.patch_embeddings["projection"].bias[0].item(), net.card.licence])
    except CheckpointError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


def ask(*questions, **environment):
    """(First bias of the embedding, licence) of every model, or what was said instead; and all that was printed."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    result = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(questions)],
        env={**clean, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*", **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1]), result.stderr


def files_of(folder, bias, *, old_format=False, card=""):
    """The files of a repository, by name; the bias tells revisions apart."""
    net = ScOT(CONFIG)
    torch.nn.init.constant_(net.embeddings.patch_embeddings["projection"].bias, bias)
    net.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["sciml"]  # as published
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["SwinForPDE"]}))
    if old_format:
        (folder / "model.safetensors").unlink()
        torch.save(net.state_dict(), folder / "pytorch_model.bin")
    if card:
        (folder / "README.md").write_text(card)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_prepared_cache_is_enough_without_a_network(tmp_path):
    repository = tmp_path / "cache" / "models--camlab-ethz--Poseidon-X"
    for folder in ("blobs", "refs"):
        (repository / folder).mkdir(parents=True)
    for bias, (revision, commit) in enumerate(COMMITS.items(), start=1):
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (repository / "refs" / revision).write_text(commit)
        for name, content in files_of(tmp_path / revision, float(bias), old_format=revision == "v1").items():
            blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
            blob.write_bytes(content)
            (snapshot / name).symlink_to(blob)
    name = "camlab-ethz/Poseidon-X"
    answers, printed = ask(
        (name, {}),
        (name, {"revision": "v1"}),
        (name, {"revision": COMMITS["v1"], "local_files_only": True}),
        ("camlab-ethz/Poseidon-Y", {}),
        HF_HUB_CACHE=str(tmp_path / "cache"),
        HF_HUB_OFFLINE="1",
    )
    assert answers[:3] == [[1.0, "CC-BY-NC-4.0"], [2.0, "CC-BY-NC-4.0"], [2.0, "CC-BY-NC-4.0"]]
    assert "HF_HUB_OFFLINE is set" in answers[3]
    assert "Weights derived from camlab-ethz/Poseidon-X, licensed CC-BY-NC-4.0." in printed


class Hub(BaseHTTPRequestHandler):
    """The part of the hub's protocol that downloading needs."""

    repositories: ClassVar[dict] = {}  # by id, then by commit: files by name
    asked: ClassVar[list] = []  # names of the files that were sent

    def log_message(self, *arguments):
        """Stay quiet."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = self.path.split("?")[0].strip("/").split("/")
        if len(parts) < 4:  # nothing about a repository
            return self.reply(404, b"", {})
        api = parts[:2] == ["api", "models"]
        owner, name, verb, revision, *rest = (parts[2:] if api else parts) + ["main"] * (2 if api else 0)
        commits = self.repositories.get(f"{owner}/{name}")
        commit = COMMITS.get(revision, revision)
        if commits is None:
            return self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        if commit not in commits:
            return self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
        files = commits[commit]
        if api and verb != "tree":
            siblings = [{"rfilename": file} for file in files]
            return self.send_json({"id": f"{owner}/{name}", "sha": commit, "siblings": siblings})
        if api:
            entries = [
                {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for file, content in files.items()
            ]
            return self.send_json(entries)
        file = rest[0]
        if file not in files:
            return self.reply(404, b"", {"X-Error-Code": "EntryNotFound"})
        if self.command == "GET":
            self.asked.append(file)
        etag = hashlib.sha1(files[file]).hexdigest()
        return self.reply(200, files[file], {"X-Repo-Commit": commit, "ETag": f'"{etag}"'})

    def send_json(self, content):
        self.reply(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def reply(self, status, body, headers):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def hub(tmp_path):
    both = files_of(tmp_path / "both", 1.0, card="---\nlicense: apache-2.0\n---\nA model.\n")
    both["pytorch_model.bin"] = b"must not be downloaded as well"
    Hub.repositories = {
        "someone/model": {
            COMMITS["main"]: both,
            COMMITS["v1"]: files_of(tmp_path / "old", 2.0, old_format=True),
        }
    }
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_hub_gives_revisions_licences_and_reasons_and_is_asked_once(hub, tmp_path):
    answers, printed = ask(
        ("someone/model", {}),
        ("someone/model", {"revision": "v1"}),
        ("someone/model", {"local_files_only": True}),
        ("someone/model", {"revision": "v2"}),
        ("someone/else", {}),
        HF_ENDPOINT=hub,
        HF_HUB_CACHE=str(tmp_path / "cache"),
    )
    assert answers[:3] == [[1.0, "apache-2.0"], [2.0, ""], [1.0, "apache-2.0"]]
    assert "has no such revision" in answers[3]
    assert "no such repository" in answers[4]
    assert "Weights derived from someone/model, licensed apache-2.0." in printed
    assert Hub.asked.count("model.safetensors") == 1
    assert Hub.asked.count("pytorch_model.bin") == 1  # of the revision that has nothing else
