"""Makes system calls with bad addresses and prints a line for each: the call, and the errno."""

import ctypes
import errno
import os
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
BAD = ctypes.c_void_p(-1)
NULL = ctypes.c_void_p(0)
HERE = os.path.join(sys.argv[1], "file").encode()
NEW = os.path.join(sys.argv[1], "new").encode()
open(HERE, "w").close()
FD = os.open(HERE, os.O_RDWR)
AT_FDCWD = -100

CALLS = [
    ("open", BAD, 0), ("open O_CREAT", BAD, os.O_CREAT, 0o644), ("creat", BAD, 0o644),
    ("mkdir", BAD, 0o755), ("rmdir", BAD), ("unlink", BAD), ("chmod", BAD, 0o644), ("chown", BAD, -1, -1),
    ("lchown", BAD, -1, -1), ("truncate", BAD, ctypes.c_long(0)), ("mknod", BAD, 0o100644, 0), ("mkfifo", BAD, 0o644),
    ("access", BAD, 0), ("chdir", BAD), ("readlink", BAD, ctypes.create_string_buffer(9), 9),
    ("link from", BAD, NEW), ("link to", HERE, BAD), ("symlink from", BAD, NEW), ("symlink to", HERE, BAD),
    ("rename from", BAD, NEW), ("rename to", HERE, BAD), ("unlink null", NULL), ("mkdir null", NULL, 0o755),
    ("utimensat path", AT_FDCWD, BAD, NULL, 0), ("utimensat times", AT_FDCWD, HERE, BAD, 0),
    ("futimens times", FD, BAD), ("openat", AT_FDCWD, BAD, 0), ("unlinkat", AT_FDCWD, BAD, 0),
    ("stat path", BAD, ctypes.create_string_buffer(256)), ("stat buffer", HERE, BAD), ("fstat buffer", FD, BAD),
]

for name, *arguments in CALLS:
    ctypes.set_errno(0)
    answer = getattr(LIBC, name.split()[0])(*arguments)
    code = ctypes.get_errno() if answer == -1 else 0
    print(name, errno.errorcode.get(code, code))
