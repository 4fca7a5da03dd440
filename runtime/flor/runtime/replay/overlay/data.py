"""What the overlay knows about the outside world, as data: extend it here.

Paths that are left alone, commands that only read, native code that opens files by name, and
settings that keep experiment trackers off their servers.
"""

from __future__ import annotations

from dataclasses import dataclass

KERNEL = ("/dev/", "/proc/", "/sys/")
"""File systems of the kernel: their links are not ours to resolve."""

PASS_BELOW = (*KERNEL, "/tmp/pymp-", "/tmp/torch_")
"""Canonical paths below these are left alone: devices, shared memory, multiprocessing's sockets."""

PASS = frozenset({"/dev", "/proc", "/sys"})

TRACKER_ENV: dict[str, str] = {
    "WANDB_MODE": "disabled",
    "WANDB_SILENT": "true",
    "WANDB_DIR": "{scratch}/trackers",
    "MLFLOW_TRACKING_URI": "file:{scratch}/trackers/mlruns",
    "MLFLOW_REGISTRY_URI": "file:{scratch}/trackers/mlruns",
    "COMET_DISABLE_AUTO_LOGGING": "1",
    "COMET_MODE": "disabled",
    "COMET_OFFLINE_DIRECTORY": "{scratch}/trackers/comet",
    "NEPTUNE_MODE": "debug",
    "CLEARML_OFFLINE_MODE": "1",
    "CLEARML_LOG_LEVEL": "ERROR",
    "AIM_REPO_PATH": "{scratch}/trackers/aim",
    "SWANLAB_MODE": "disabled",
    "TRACKIO_DIR": "{scratch}/trackers/trackio",
    "DVCLIVE_TEST": "true",
    "SIGOPT_API_TOKEN": "",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
"""Environment of a replay worker, so that no tracker's server or folder hears of it."""

WORKER_ENV: dict[str, str] = {
    "GIT_OPTIONAL_LOCKS": "0",  # `git status` must not refresh the index
    "GIT_CONFIG_COUNT": "1",  # nor must `git diff`, which does not ask for optional locks
    "GIT_CONFIG_KEY_0": "diff.autoRefreshIndex",
    "GIT_CONFIG_VALUE_0": "false",
    "PYTHONDONTWRITEBYTECODE": "1",
    "CUDA_CACHE_PATH": "{scratch}/cache/cuda",
    "TRITON_CACHE_DIR": "{scratch}/cache/triton",
    "TORCHINDUCTOR_CACHE_DIR": "{scratch}/cache/inductor",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
    "NUMBA_CACHE_DIR": "{scratch}/cache/numba",
    "TORCH_EXTENSIONS_DIR": "{scratch}/cache/torch_extensions",
}
"""Caches that native code writes by name."""


@dataclass(frozen=True)
class Command:
    """When a command only reads.

    `verbs`: its first plain argument must be one of these (empty: anything); `refuse`: options
    (prefixes) that make it write; `plain`: whether plain arguments are allowed at all; `output`:
    it writes only where `-o` says, which must be in the scratch or /dev/null.
    """

    verbs: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    plain: bool = True
    output: bool = False


_ANY = Command()
_BARE = Command(plain=False)
_COMPILER = Command(output=True)

READ_ONLY: dict[str, Command] = {
    "git": Command(
        verbs=(
            *("rev-parse", "describe", "log", "status", "diff", "show", "ls-files", "ls-tree"),
            *("rev-list", "cat-file", "merge-base", "blame", "shortlog", "name-rev", "show-ref"),
            *("diff-index", "diff-files", "version"),
        ),
        # `describe --dirty` writes the index whatever it is told
        refuse=("-c", "--output", "--exec-path=", "--config-env", "--ext-diff", "--dirty"),
    ),
    "nvidia-smi": Command(
        plain=False,
        refuse=("-pm", "-pl", "-mig", "-r", "--gpu-reset", "-ac", "-lgc", "-f", "--filename"),
    ),
    "rocm-smi": Command(plain=False, refuse=("--set", "--reset", "--save", "--load")),
    "hostname": _BARE,
    "date": Command(refuse=("-s", "--set")),
    "ldconfig": Command(plain=False, refuse=("-C", "-r", "-n", "-f", "-X", "-N")),
    "sysctl": Command(refuse=("-w", "--write", "-p", "--load", "--system")),
    **dict.fromkeys(
        ("gcc", "cc", "g++", "c++", "clang", "clang++", "ld", "nvcc", "ptxas", "as", "collect2"),
        _COMPILER,
    ),
    **dict.fromkeys(
        (
            "uname lscpu lspci lsb_release lsblk lsmem nproc free uptime arch ibstat "
            "which whereis id whoami groups tty getconf locale printenv "
            "cat head tail ls wc du df stat file ps pgrep pwd tput stty "
            "md5sum sha1sum sha256sum cksum b2sum basename dirname realpath readlink "
            "grep egrep fgrep cut tr echo printf true false sleep test seq clear "
            "objdump readelf nm fc-list fc-match"
        ).split(),
        _ANY,
    ),
}
"""Commands that change nothing, by base name."""

SHELLS = frozenset({"sh", "bash", "dash", "zsh"})


@dataclass(frozen=True)
class Native:
    """A function of native code that opens a file by name.

    `module` and `target` (dotted, below the module) name it; `argument` is the position of the
    path, `keyword` its name; `mode`: "r", "w" (replaces), "a" (extends), "d" (a folder to write
    into), or "=<keyword>:<position>:<default>" for a mode argument like that of `open`.  Positions
    count `self` where the target is a method.
    """

    module: str
    target: str
    argument: int
    keyword: str
    mode: str


NATIVE: tuple[Native, ...] = (
    Native("torch", "_C.PyTorchFileWriter.__init__", 1, "name", "w"),
    Native("torch", "_C.PyTorchFileReader.__init__", 1, "name", "r"),
    Native("torch", "UntypedStorage.from_file", 0, "filename", "=shared:1:shared"),
    Native("torch", "from_file", 0, "filename", "=shared:1:shared"),
    Native("torch", "jit.save", 1, "f", "w"),
    Native("torch", "jit.load", 0, "f", "r"),
    Native("torch", "_C.ScriptModule.save", 1, "f", "w"),
    Native("torch", "_C.ScriptModule._save_for_mobile", 1, "f", "w"),
    Native("torch", "_C.ScriptFunction.save", 1, "filename", "w"),
    Native("h5py", "File.__init__", 1, "name", "=mode:2:r"),
    Native("netCDF4", "Dataset.__init__", 1, "filename", "=mode:2:r"),
    Native("cv2", "imwrite", 0, "filename", "w"),
    Native("cv2", "imread", 0, "filename", "r"),
    Native("cv2", "VideoCapture.__init__", 1, "filename", "r"),
    Native("cv2", "VideoWriter.__init__", 1, "filename", "w"),
    Native("safetensors", "safe_open", 0, "filename", "r"),
    Native("safetensors.torch", "serialize_file", 1, "filename", "w"),
    Native("safetensors.torch", "safe_open", 0, "filename", "r"),
    Native("safetensors.numpy", "serialize_file", 1, "filename", "w"),
    Native("safetensors.numpy", "safe_open", 0, "filename", "r"),
    Native("torchvision.io", "read_image", 0, "path", "r"),
    Native("torchvision.io", "read_file", 0, "path", "r"),
    Native("torchvision.io", "write_file", 0, "filename", "w"),
    Native("torchvision.io", "write_png", 1, "filename", "w"),
    Native("torchvision.io", "write_jpeg", 1, "filename", "w"),
    Native("torchaudio", "load", 0, "uri", "r"),
    Native("torchaudio", "save", 0, "uri", "w"),
    Native("soundfile", "SoundFile.__init__", 1, "file", "=mode:2:r"),
    Native("pyarrow", "OSFile.__init__", 1, "path", "=mode:2:r"),
    Native("pyarrow", "memory_map", 0, "path", "=mode:1:r"),
    Native("pyarrow.parquet", "read_table", 0, "source", "r"),
    Native("pyarrow.parquet", "write_table", 1, "where", "w"),
    Native("pyarrow.parquet", "ParquetFile.__init__", 1, "source", "r"),
    Native("xgboost", "Booster.save_model", 1, "fname", "w"),
    Native("xgboost", "Booster.load_model", 1, "fname", "r"),
    Native("lightgbm", "Booster.save_model", 1, "filename", "w"),
    Native("catboost", "CatBoost.save_model", 1, "fname", "w"),
    Native("catboost", "CatBoost.load_model", 1, "fname", "r"),
    Native("faiss", "write_index", 1, "fname", "w"),
    Native("faiss", "read_index", 0, "fname", "r"),
    Native("sentencepiece", "SentencePieceProcessor.Load", 1, "model_file", "r"),
    Native("tokenizers", "Tokenizer.save", 1, "path", "w"),
    Native("duckdb", "connect", 0, "database", "a"),
    Native("lmdb", "open", 0, "path", "d"),
    Native("dbm.gnu", "open", 0, "filename", "a"),
)
"""Applied when a module of that name has been imported; entries that do not fit are skipped."""

CAPTURED: tuple[tuple[str, str], ...] = (("numpy.lib._datasource", "_file_openers._file_openers"),)
"""Dictionaries of modules (attribute path) that hold `open` as a value."""
