"""Writes the page of the worker's options: `python docs/make_options.py > docs/options.md`."""

from __future__ import annotations

from mpm_worker.option_pages import markdown

INTRODUCTION = """\
# Every option of the worker

Made from `worker_image/mpm_worker/option_table.py` by `docs/make_options.py`; `mpm-worker --help` prints the
same words. How they are used is in [worker](worker.md).

An option is a flag (`--keep-alive-timeout 5`), a variable of the environment
(`MPM_KEEP_ALIVE_TIMEOUT=5`) and a key of the TOML file that `--config` names (`keep-alive-timeout =
5`). **The flag wins over the environment, that over the file, that over the default.** A list is
written with commas, as a list of TOML, or by giving the flag several times. An unknown name or a value
that cannot be used ends the worker with exit code 2 and a line that names the place: flag, variable, or
file, line and key. Relative paths are meant from `--chdir`, that of `--config` from where the worker is
started.

"""

if __name__ == "__main__":
    print(INTRODUCTION + markdown(), end="")
