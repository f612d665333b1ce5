"""Where weights are: a folder, the folder of a run, or a repository of the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from sciml.errors import CheckpointError

CONFIG, WEIGHTS, OLD_WEIGHTS, CARD = "config.json", "model.safetensors", "pytorch_model.bin", "README.md"
SHIPPED = Path(__file__).parent / "assets"  # models that come with the package, by name


def resolve_folder(id_or_folder: str | Path, *, revision: str | None = None, local_files_only: bool = False) -> Path:
    """The local folder that holds config and weights, downloaded from the hub if need be.

    Args:
        id_or_folder: A folder, the folder of a run, the name of a model that comes with the package, or a hub id.
        revision: Branch, tag or commit on the hub.
        local_files_only: Do not ask the hub; use what an earlier call has downloaded.

    Raises:
        CheckpointError: nothing is there, or the hub does not give it.
    """
    shipped = [] if "/" in str(id_or_folder) else [SHIPPED / id_or_folder]
    for folder in (Path(id_or_folder), Path(id_or_folder) / "model", *shipped):
        if (folder / CONFIG).is_file():
            return folder
    if Path(id_or_folder).exists():
        raise CheckpointError(
            f"{id_or_folder} has no {CONFIG}, and no subfolder model/ that has a {CONFIG}. A folder written by "
            "save_pretrained, or the folder of a finished run, is expected."
        )
    if not is_hub_id(id_or_folder):
        raise CheckpointError(
            f"{id_or_folder} does not exist. A folder with {CONFIG} and {WEIGHTS}, a run folder, a hub id of the form "
            f"owner/name, or {' or '.join(sorted(p.name for p in SHIPPED.glob('*')))} is expected."
        )
    return _download(str(id_or_folder), revision=revision, local_files_only=local_files_only)


def is_hub_id(id_or_folder: str | Path) -> bool:
    """Whether a name has the form owner/name and is no folder."""
    name = str(id_or_folder)
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()


def _download(name: str, *, revision: str | None, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    def fetch(*files: str) -> Path:
        options = {"revision": revision, "local_files_only": local_files_only}
        return Path(snapshot_download(name, allow_patterns=list(files), **options))

    try:
        folder = fetch(CONFIG, WEIGHTS, CARD, "LICENSE*")
        if not (folder / WEIGHTS).is_file():  # two formats of the same weights are not both downloaded
            fetch(OLD_WEIGHTS)
    except (HfHubHTTPError, OSError) as error:  # which all other errors of the hub are
        raise CheckpointError(
            f"{name} (revision {revision or 'main'}) could not be had from the hub: "
            f"{_reason(error, local_files_only=local_files_only)}, or download the repository elsewhere and give its "
            "folder."
        ) from error
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"the repository {name} has no {CONFIG}; it is not a model that can be loaded.")
    return folder


def _reason(error: Exception, *, local_files_only: bool) -> str:
    """Why the hub gave nothing, and what to do first."""
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if local_files_only:
        return "it is not in the local cache and local_files_only is set. Load it once without"
    if HF_HUB_OFFLINE:
        return "it is not in the local cache and HF_HUB_OFFLINE is set. Load it once with a network and without that"
    if isinstance(error, GatedRepoError):
        return "its owners ask who you are. Accept their terms on the hub and log in with `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such repository, or it is private. Check the name, log in with `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision. Check the branch, tag or commit"
    return f"{str(error).splitlines()[0].rstrip('.')}. Check the network"
