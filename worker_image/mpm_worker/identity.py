"""Users and groups: found by name or number, taken on once the addresses are ours; what they may write."""

from __future__ import annotations

import errno
import grp
import os
import pwd
from dataclasses import dataclass

from mpm_worker.option import OptionError


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom to become. `name` is that of the user when the system knows it, for the supplementary groups."""

    user: int
    group: int
    name: str = ""


def find(user: str, group: str) -> Identity | None:
    """What --user and --group ask for; a user left out is the present one, None = neither was given.

    :raises OptionError: nobody of that name
    """
    if not user and not group:
        return None
    account = _account(user, "--user")
    if account is not None:
        number, own_group, name = account.pw_uid, account.pw_gid, account.pw_name
    else:
        number, own_group, name = (int(user) if user else os.geteuid()), os.getegid(), ""
        if user and not group:
            raise OptionError(f"--user {user}: that number has no account here, so --group must be given too")
    return Identity(number, group_number(group, "--group") if group else own_group, name)


def become(identity: Identity) -> None:
    """For this process and all it forks. The supplementary groups become those of the user, or none.

    :raises OptionError: without the privilege, unless it is what we are already
    """
    if os.geteuid() != 0:
        if (identity.user, identity.group) == (os.geteuid(), os.getegid()):
            return
        raise OptionError(
            "--user, --group: only root can become someone else; start as root, or leave them out"
        )
    try:
        if identity.name:
            os.initgroups(identity.name, identity.group)
        else:
            os.setgroups([])
        os.setresgid(identity.group, identity.group, identity.group)
        os.setresuid(identity.user, identity.user, identity.user)
    except OSError as error:
        raise OptionError(f"--user, --group: {error.strerror}") from None


def owner(text: str, option: str) -> tuple[int, int]:
    """`USER[:GROUP]` for chown(2); -1 where nothing was said.

    :raises OptionError: nobody of that name
    """
    user, _, group = text.partition(":")
    account = _account(user, option)
    number = account.pw_uid if account is not None else int(user or -1)
    return number, group_number(group, option) if group else -1


def group_number(text: str, option: str) -> int:
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        if text.isascii() and text.isdigit():
            return int(text)
        raise OptionError(f"{option} {text}: no such group") from None


def _account(user: str, option: str) -> pwd.struct_passwd | None:
    """None: nobody was named, or a number that has no account."""
    number = user.isascii() and user.isdigit()
    try:
        return None if not user else pwd.getpwuid(int(user)) if number else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        if number:
            return None
        raise OptionError(f"{option} {user}: no such user") from None


def check_place(path: str, option: str) -> None:
    """Whether we may make a file there; none is made.

    :raises OptionError: there is no such folder, or we may not
    """
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.stat(f"{folder}/.")
    except OSError as error:
        raise OptionError(f"{option} {path}: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OptionError(f"{option} {path}: {os.strerror(errno.EACCES)}")
