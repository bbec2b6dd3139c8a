"""The store of a user's runs: content-addressed stage folders, JSON-lines records, atomic writes."""

from ropo_bench.store.files import (
    JSON,
    FileEntry,
    atomic_file,
    atomic_folder,
    atomic_write_json,
    atomic_write_text,
    check_files,
    list_files,
    read_json,
    storage_errors,
)
from ropo_bench.store.keys import canonical_json, content_key, file_hash, folder_hash
from ropo_bench.store.lines import JsonLines
from ropo_bench.store.source import source_hash
from ropo_bench.store.stage import MANIFEST, Stage
from ropo_bench.store.store import Store

__all__ = [
    "JSON",
    "MANIFEST",
    "FileEntry",
    "JsonLines",
    "Stage",
    "Store",
    "atomic_file",
    "atomic_folder",
    "atomic_write_json",
    "atomic_write_text",
    "canonical_json",
    "check_files",
    "content_key",
    "file_hash",
    "folder_hash",
    "list_files",
    "read_json",
    "source_hash",
    "storage_errors",
]
